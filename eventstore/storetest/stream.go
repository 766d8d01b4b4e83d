package storetest

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore"
)

var streams = []behaviour{
	{"BytesRoundTripExactly", bytesRoundTrip},
	{"StreamBeginsAtTheVersionAskedFor", streamFrom},
	{"UnknownStreamIsEmpty", unknownStream},
	{"StreamsWithCommonPrefixesDoNotMix", prefixesDoNotMix},
	{"StreamNamesMayHoldOddCharacters", oddNames},
	{"StreamIsAsOfTheCall", streamAsOfCall},
	{"StreamMayBeReadTwice", streamTwice},
	{"LongStreamsComeWhole", longStream},
	{"AppendIsNeverHalfVisible", neverHalfVisible},
}

func bytesRoundTrip(t *testing.T, open opener) {
	s, stream := open(t), newStream()
	start := mustHead(t, s)
	var want []eventstore.NewRecord
	for _, data := range []string{
		`{}`,
		"{ \"spaces\" :\t1,\n\"b\":1.0e5 , \"a\":-0}",
		`{"unicode":` + text("Łódź – 東京 🙂 \u202e \u00a0") + `}`,
		`{"escapes":"\u0000\u001f\/\"\\\ud83d\ude42"}`,
		`{"big":` + text(strings.Repeat("0123456789abcdef", 60<<10/16)) + `}`,
		`{"dup":1,"dup":2}`,
	} {
		want = append(want, eventstore.NewRecord{
			ID: uuid.New(), Type: "payment_method.attached", Data: []byte(data),
			Metadata: []byte(`{"reason":` + text("ünï\u0000") + `, "z":"1","a":"2"}`),
		})
	}
	var p eventstore.Position
	for v := range want {
		p = mustAppend(t, s, stream, uint64(v), want[v:v+1])
	}
	checkRecords(t, stream, 1, mustStream(t, s, stream, 1), want)
	checkRecords(t, stream, 1, mustFollow(t, s, start, p), want)
}

func streamFrom(t *testing.T, open opener) {
	s, stream, want := open(t), newStream(), newRecords(5)
	mustAppend(t, s, stream, 0, want)
	checkRecords(t, stream, 1, mustStream(t, s, stream, 0), want)
	for from := uint64(1); from <= 5; from++ {
		checkRecords(t, stream, from, mustStream(t, s, stream, from), want[from-1:])
	}
	for _, beyond := range []uint64{6, 7, 1 << 40} {
		if got := mustStream(t, s, stream, beyond); len(got) != 0 {
			t.Fatalf("%d records from version %d on, beyond the end", len(got), beyond)
		}
	}
}

func unknownStream(t *testing.T, open opener) {
	s := open(t)
	for range 2 {
		for _, from := range []uint64{0, 1, 9} {
			if got := mustStream(t, s, newStream(), from); len(got) != 0 {
				t.Fatalf("%d records in a stream that does not exist", len(got))
			}
		}
		mustAppend(t, s, newStream(), 0, newRecords(1))
	}
}

func prefixesDoNotMix(t *testing.T, open opener) {
	s, base := open(t), newStream()
	names := []string{base, base + "1", base + "11", base[:len(base)-1], base + "-", base + "+"}
	want := map[string][]eventstore.NewRecord{}
	for i, name := range names {
		want[name] = newRecords(i + 1)
		mustAppend(t, s, name, 0, want[name])
	}
	for _, name := range names {
		checkRecords(t, name, 1, mustStream(t, s, name, 1), want[name])
	}
}

func oddNames(t *testing.T, open opener) {
	s := open(t)
	id := uuid.NewString()
	for _, name := range []string{
		"customer-acme+a:b.c@d-_~" + id,
		"customer-A_-9+~pm_" + id,
		"customer-acme+..." + id,
		"organization-" + id,
		"subscription-acme+" + id,
		"customer-" + strings.Repeat("o", 64) + "+" + strings.Repeat("c", 92) + id,
	} {
		want := newRecords(2)
		mustAppend(t, s, name, 0, want)
		checkRecords(t, name, 1, mustStream(t, s, name, 1), want)
		_, err := s.Append(within(t), name, 0, newRecords(1))
		checkConflict(t, err, name, 0, 2)
	}
}

// streamAsOfCall appends after the call, and again while what it returned is read.
// The stream is longer than a page.
func streamAsOfCall(t *testing.T, open opener) {
	const n = 300
	s, stream, want := open(t), newStream(), newRecords(n)
	mustAppend(t, s, stream, 0, want)
	records := s.Stream(within(t), stream, 1)
	mustAppend(t, s, stream, n, newRecords(3))
	var got []eventstore.Record
	for r, err := range records {
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			mustAppend(t, s, stream, n+3, newRecords(3))
		}
		got = append(got, r)
	}
	checkRecords(t, stream, 1, got, want)
}

func streamTwice(t *testing.T, open opener) {
	s, stream, want := open(t), newStream(), newRecords(3)
	mustAppend(t, s, stream, 0, want)
	seq := s.Stream(within(t), stream, 2)
	for range 2 {
		var got []eventstore.Record
		for r, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r)
		}
		checkRecords(t, stream, 2, got, want[1:])
	}
}

// longStream is longer than any page, window or cache a backend may use.
func longStream(t *testing.T, open opener) {
	s, stream := open(t), newStream()
	start := mustHead(t, s)
	filler := text(strings.Repeat("long ", 4000))
	var want []eventstore.NewRecord
	var p eventstore.Position
	for len(want) < 600 {
		records := newRecords(30)
		for i := range records {
			records[i].Data = []byte(`{"filler":` + filler + `}`)
		}
		p = mustAppend(t, s, stream, uint64(len(want)), records)
		want = append(want, records...)
	}
	checkRecords(t, stream, 1, mustStream(t, s, stream, 0), want)
	checkRecords(t, stream, 590, mustStream(t, s, stream, 590), want[589:])
	checkRecords(t, stream, 1, mustFollow(t, s, start, p), want)
}

func neverHalfVisible(t *testing.T, open opener) {
	const size, rounds = 7, 25
	s, stream := open(t), newStream()
	ctx := within(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for v := uint64(0); v < size*rounds; v += size {
			if _, err := s.Append(ctx, stream, v, newRecords(size)); err != nil {
				t.Errorf("append: %v", err)
				return
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if n := len(mustStream(t, s, stream, 1)); n%size != 0 {
			t.Fatalf("%d records are visible of appends of %d", n, size)
		}
	}
}
