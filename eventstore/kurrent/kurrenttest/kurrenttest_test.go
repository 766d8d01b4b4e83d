package kurrenttest

import (
	"context"
	"errors"
	"io"
	"math"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// within bounds what a test waits for. It is only spent when something is wrong.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// client is the official client of the server. It looks for a lost server for
// ever: one that gives up is closed for good.
func client(t *testing.T, connection string) *esdb.Client {
	t.Helper()
	o, err := esdb.ParseConnectionString(connection)
	if err != nil {
		t.Fatal(err)
	}
	o.Logger = esdb.NoopLogging()
	o.MaxDiscoverAttempts, o.DiscoveryInterval = math.MaxInt32, 20
	c, err := esdb.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func events(n int) []esdb.EventData {
	all := make([]esdb.EventData, n)
	for i := range all {
		all[i] = esdb.EventData{
			EventID: uuid.New(), EventType: "attached", ContentType: esdb.ContentTypeJson,
			Data: []byte(`{"n":1}`), Metadata: []byte(`{"m":"2"}`),
		}
	}
	return all
}

func write(t *testing.T, c *esdb.Client, stream string, expected esdb.ExpectedRevision, events ...esdb.EventData) *esdb.WriteResult {
	t.Helper()
	w, err := c.AppendToStream(within(t), stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, events...)
	if err != nil {
		t.Fatalf("append to %s: %v", stream, err)
	}
	return w
}

// codeOf is the client's code of an error; -1 for none, -2 for one that is not its own.
func codeOf(err error) esdb.ErrorCode {
	var e *esdb.Error
	switch {
	case err == nil:
		return -1
	case errors.As(err, &e):
		return e.Code()
	default:
		return -2
	}
}

func read(t *testing.T, c *esdb.Client, stream string, o esdb.ReadStreamOptions, count uint64) ([]*esdb.RecordedEvent, error) {
	t.Helper()
	r, err := c.ReadStream(within(t), stream, o, count)
	if err != nil {
		return nil, err
	}
	return collect(r)
}

func collect(r *esdb.ReadStream) ([]*esdb.RecordedEvent, error) {
	defer r.Close()
	var all []*esdb.RecordedEvent
	for {
		e, err := r.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return all, err
		}
		all = append(all, e.Event)
	}
}

func TestWhatIsAppendedIsRead(t *testing.T) {
	s := Start(t, Options{})
	c := client(t, s.ConnectionString())
	three := events(3)
	w := write(t, c, "customer-a+1", esdb.NoStream{}, three...)
	if w.NextExpectedVersion != 2 || w.CommitPosition != s.Records("customer-a+1")[2].Position {
		t.Errorf("the append answers %+v", w)
	}
	got, err := read(t, c, "customer-a+1", esdb.ReadStreamOptions{From: esdb.Revision(1)}, 10)
	if err != nil || len(got) != 2 {
		t.Fatalf("read from revision 1: %d events, %v", len(got), err)
	}
	e := got[0]
	if e.EventID != three[1].EventID || e.EventNumber != 1 || e.EventType != "attached" || string(e.Data) != `{"n":1}` ||
		string(e.UserMetadata) != `{"m":"2"}` || e.ContentType != "application/json" || time.Since(e.CreatedDate) > time.Minute {
		t.Errorf("read %+v", e)
	}
	back, err := read(t, c, "customer-a+1", esdb.ReadStreamOptions{Direction: esdb.Backwards, From: esdb.End{}}, 1)
	if err != nil || len(back) != 1 || back[0].EventNumber != 2 {
		t.Errorf("read of the end: %v, %v", back, err)
	}
	if _, err := read(t, c, "customer-a+2", esdb.ReadStreamOptions{}, 1); codeOf(err) != esdb.ErrorCodeResourceNotFound {
		t.Errorf("a stream that is not there: %v", err)
	}
	if first := s.All()[0].Position; first == 0 {
		t.Error("the log begins at position 0")
	}
}

func TestAppendsAreRecognizedByIDsAtTheirRevision(t *testing.T) {
	s := Start(t, Options{})
	c := client(t, s.ConnectionString())
	try := func(expected esdb.ExpectedRevision, events ...esdb.EventData) (*esdb.WriteResult, error) {
		return c.AppendToStream(within(t), "customer-a+1", esdb.AppendToStreamOptions{ExpectedRevision: expected}, events...)
	}
	first, second := events(2), events(2)
	write(t, c, "customer-a+1", esdb.NoStream{}, first...)
	write(t, c, "customer-a+1", esdb.Revision(1), second...)
	for i, expected := range []esdb.ExpectedRevision{esdb.NoStream{}, esdb.NoStream{}, esdb.Any{}} {
		if w, err := try(expected, first...); err != nil || w.NextExpectedVersion != 1 {
			t.Errorf("repeat %d: %+v, %v", i, w, err)
		}
	}
	if w, err := try(esdb.Revision(1), second...); err != nil || w.NextExpectedVersion != 3 {
		t.Errorf("repeat of the second append: %+v, %v", w, err)
	}
	conflicts := map[string][]esdb.EventData{
		"other ids": events(2), "the first id only": {first[0], events(1)[0]}, "one more than there are": append(first[:2:2], events(3)...),
	}
	for name, events := range conflicts {
		if _, err := try(esdb.NoStream{}, events...); codeOf(err) != esdb.ErrorCodeWrongExpectedVersion {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := try(esdb.Revision(9), events(1)...); codeOf(err) != esdb.ErrorCodeWrongExpectedVersion {
		t.Errorf("a revision to come: %v", err)
	}
	if done, repeats := s.Appends(); done != 2 || repeats != 4 {
		t.Errorf("%d appends and %d repeats", done, repeats)
	}
	// At the present revision nobody looks at ids: what was there comes twice.
	if w, err := try(esdb.Revision(3), second...); err != nil || w.NextExpectedVersion != 5 {
		t.Errorf("the same ids at the present revision: %+v, %v", w, err)
	}
}

func TestAnswersToBadAppends(t *testing.T) {
	s := Start(t, Options{MaxAppend: 1000})
	c := client(t, s.ConnectionString())
	big := events(1)
	big[0].Data = make([]byte, 1000)
	if _, err := c.AppendToStream(within(t), "customer-a+1", esdb.AppendToStreamOptions{}, big...); statusOf(err) != codes.InvalidArgument {
		t.Errorf("too large: %v", err)
	}
	write(t, c, "customer-a+1", esdb.NoStream{}, events(1)...)
	if _, err := c.DeleteStream(within(t), "customer-a+1", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Revision(0)}); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, c, "customer-a+1", esdb.ReadStreamOptions{}, 1); codeOf(err) != esdb.ErrorCodeResourceNotFound {
		t.Errorf("a deleted stream: %v", err)
	}
	if w := write(t, c, "customer-a+1", esdb.NoStream{}, events(1)...); w.NextExpectedVersion != 1 {
		t.Errorf("a deleted stream goes on at %d", w.NextExpectedVersion)
	}
	if _, err := c.TombstoneStream(within(t), "customer-a+1", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, c, "customer-a+1", esdb.ReadStreamOptions{}, 1); codeOf(err) != esdb.ErrorCodeStreamDeleted {
		t.Errorf("read of a tombstone: %v", err)
	}
	if _, err := c.AppendToStream(within(t), "customer-a+1", esdb.AppendToStreamOptions{}, events(1)...); codeOf(err) != esdb.ErrorCodeStreamDeleted {
		t.Errorf("append to a tombstone: %v", err)
	}
}

func TestFollowersNameTheLeader(t *testing.T) {
	s := Start(t, Options{Nodes: 3})
	direct := client(t, "esdb://"+s.Node(1).Address()+"?tls=false")
	insist := metadata.AppendToOutgoingContext(within(t), "requires-leader", "true")
	if _, err := direct.AppendToStream(insist, "customer-a+1", esdb.AppendToStreamOptions{}, events(1)...); codeOf(err) != esdb.ErrorCodeNotLeader {
		t.Fatalf("a follower answers %v", err)
	}
	if _, err := direct.AppendToStream(insist, "customer-a+1", esdb.AppendToStreamOptions{}, events(1)...); err != nil {
		t.Fatalf("the client did not find the leader: %v", err)
	}
	write(t, client(t, "esdb://"+s.Node(2).Address()+"?tls=false"), "customer-a+1", esdb.Any{}, events(1)...) // forwarded
	s.Elect(2)
	if _, err := direct.AppendToStream(insist, "customer-a+1", esdb.AppendToStreamOptions{}, events(1)...); codeOf(err) != esdb.ErrorCodeNotLeader {
		t.Errorf("the old leader answers %v", err)
	}
	if n := len(s.Records("customer-a+1")); n != 2 {
		t.Errorf("%d records, not 2", n)
	}
	if n := s.Counts(Append).Leader; n != 3 {
		t.Errorf("%d appends insisted on the leader, not 3", n)
	}
	discovering := client(t, s.ConnectionString())
	write(t, discovering, "customer-a+2", esdb.NoStream{}, events(1)...)
}

func TestAFollowerIsStaleUntilReleased(t *testing.T) {
	s := Start(t, Options{Nodes: 2, SystemEvery: -1})
	follower := client(t, "esdb://"+s.Node(1).Address()+"?tls=false")
	write(t, follower, "customer-a+1", esdb.NoStream{}, events(2)...)
	s.Node(1).Lag(2)
	write(t, follower, "customer-a+1", esdb.Revision(1), events(3)...)
	got, err := read(t, follower, "customer-a+1", esdb.ReadStreamOptions{}, 9)
	if err != nil || len(got) != 3 {
		t.Errorf("a follower that lags by 2 shows %d of 5 events, %v", len(got), err)
	}
	s.Node(1).Release()
	if got, err = read(t, follower, "customer-a+1", esdb.ReadStreamOptions{}, 9); err != nil || len(got) != 5 {
		t.Errorf("once released it shows %d of 5 events, %v", len(got), err)
	}
}

func TestACutOffLeaderCommitsNothing(t *testing.T) {
	s := Start(t, Options{Nodes: 3, CommitTimeout: 50 * time.Millisecond})
	old := client(t, "esdb://"+s.Node(0).Address()+"?tls=false")
	write(t, old, "customer-a+1", esdb.NoStream{}, events(1)...)
	s.Node(0).CutOff()
	s.Elect(1)
	insist := metadata.AppendToOutgoingContext(within(t), "requires-leader", "true")
	if _, err := old.AppendToStream(insist, "customer-a+1", esdb.AppendToStreamOptions{}, events(1)...); codeOf(err) != esdb.ErrorAborted {
		t.Errorf("a leader that is cut off answers %v", err)
	}
	s.Node(0).Release()
	if _, err := old.AppendToStream(insist, "customer-a+1", esdb.AppendToStreamOptions{}, events(1)...); codeOf(err) != esdb.ErrorCodeNotLeader {
		t.Errorf("once it is back it answers %v", err)
	}
	if n := len(s.Records("customer-a+1")); n != 1 {
		t.Errorf("%d records, not 1", n)
	}
}
