package domain

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// readBoth reads data as the codec does, and with encoding/json alone.
func readBoth[E Event](data []byte) (got Event, gotErr error, want Event, wantErr error) {
	got, gotErr = read[E](data)
	var plain E
	wantErr = json.Unmarshal(data, &plain)
	return got, gotErr, plain, wantErr
}

func TestTheReaderReadsWhatEncodingJSONReads(t *testing.T) {
	t.Run("attached", rapid.MakeCheck(func(t *rapid.T) { checkReader[MethodAttached](t) }))
	t.Run("default changed", rapid.MakeCheck(func(t *rapid.T) { checkReader[DefaultChanged](t) }))
}

// checkReader tries any event, spread over lines, with members nobody knows.
func checkReader[E Event](t *rapid.T) {
	e := anyEvent[E]().Draw(t, "event")
	_, data, err := Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	if rapid.Bool().Draw(t, "unknown members") {
		more := rapid.SampledFrom([]string{
			`"x":1.5e3,`, `"x":{"a":[1,{"b":"}],{"}],"c":null},`, `"x":"\"\\",`, `"x":null,`, `"x":[[],{}],`, `"\u0078":true,`, `"cause2":[ ],`,
		}).Draw(t, "member")
		data = append([]byte("{"+more), data[1:]...)
		data = bytes.ReplaceAll(data, []byte(",}"), []byte("}"))
	}
	if rapid.Bool().Draw(t, "spread") {
		var b bytes.Buffer
		if err := json.Indent(&b, data, " ", "\t"); err != nil {
			t.Fatal(err)
		}
		data = b.Bytes()
	}
	got, gotErr, want, wantErr := readBoth[E](data)
	if gotErr != nil || wantErr != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%s is read as %+v (%v), want %+v (%v)", data, got, gotErr, want, wantErr)
	}
}

func TestTheReaderRefusesWhatIsNotJSON(t *testing.T) {
	const good = `{"from":"pm_1","to":"pm_2","cause":"x"}`
	for i := range len(good) {
		if e, err := read[DefaultChanged]([]byte(good[:i])); err == nil {
			t.Errorf("%q, cut short, is read as %+v", good[:i], e)
		}
	}
	for _, data := range []string{
		good + "x", good + "\x00", good + good, good + ",", `{,"to":"a"}`, `{"to":"a",}`, `{"to":"a" "from":"b"}`, `{"to" "a"}`, `{"to":a}`, `{to:"a"}`, `{"to":1}`,
		`{"to":{}}`, `{"to":["a"]}`, `{"to":"a` + "\n" + `"}`, `{"to":"\q"}`, `{"x":[}`, `{"x":}`, `{"x":01}`, `{"x":tru}`, `{"x":"a}`, `{"x":[1,]}`, `[]`, `"a"`, `{"to":"\ud8"}`,
		`{"to":nul}`, `{"x":{"a"}}`,
	} {
		if e, err := read[DefaultChanged]([]byte(data)); err == nil {
			t.Errorf("%q is read as %+v", data, e)
		}
	}
	for _, data := range []string{`{"facts":{"card":{"exp_month":"1"}}}`, `{"facts":{"card":{"exp_month":1.5}}}`, `{"expires_at":"today"}`, `{"expires_at":5}`, `{"facts":[]}`, `{"personal":[]}`} {
		if e, err := read[MethodAttached]([]byte(data)); err == nil || !strings.Contains(err.Error(), "at byte") {
			t.Errorf("%q is read as %+v, error %v; want one that names the byte", data, e, err)
		}
	}
}

func TestWhatTheLedgerNeverWritesIsReadAsEncodingJSONReadsIt(t *testing.T) {
	for name, data := range map[string]string{
		"nulls":         `{"customer_id":null,"facts":{"card":null,"wallet":null,"country":null},"verification":null,"expires_at":null,"personal":null,"unknown":null}`,
		"spaces":        ` { "facts" : { "card" : { "exp_month" : 12 , "exp_year" : 2034 } } } `,
		"null numbers":  `{"facts":{"card":{"exp_month":null,"exp_year":-1}}}`,
		"bytes of junk": "{\"customer_id\":\"a\xffb\",\"provider\":\"\xc3\x28\"}",
		"escapes":       `{"customer_id":"\u00e9\ud83d\ude00\n","\u0070rovider":"x"}`,
	} {
		got, gotErr, want, wantErr := readBoth[MethodAttached]([]byte(data))
		if gotErr != nil || wantErr != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read as %+v (%v), want %+v (%v)", name, got, gotErr, want, wantErr)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(`{"from":"pm_1","to":"pm_2","cause":"x"}`))
	f.Add([]byte(`{"facts":{"card":{"exp_month":1,"last4":"4242"}},"expires_at":"2035-01-01T00:00:00Z","x":[{"a":"\"}"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, attachedErr := read[MethodAttached](data)
		_, changedErr := read[DefaultChanged](data)
		if (attachedErr == nil || changedErr == nil) && !json.Valid(data) {
			t.Fatalf("%q is no JSON, and it is read", data)
		}
		var attached MethodAttached
		if attachedErr != nil && json.Unmarshal(data, &attached) == nil && bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
			t.Fatalf("%q is read by encoding/json, but here: %v", data, attachedErr)
		}
	})
}
