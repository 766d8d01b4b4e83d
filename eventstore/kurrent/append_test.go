package kurrent_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/kurrent"
	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
)

// short are options with which a test does not wait for long.
var short = kurrent.Options{AppendTimeout: 400 * time.Millisecond, ReadTimeout: 400 * time.Millisecond, Gap: 20 * time.Millisecond}

// losses are the ways in which the answer of an append is lost.
var losses = map[string]kurrenttest.Fault{
	"unavailable before": kurrenttest.Refuse(codes.Unavailable, "Server Is Not Ready"),
	"too busy":           kurrenttest.Refuse(codes.Unavailable, "Server Is Too Busy"),
	"unavailable after":  kurrenttest.LoseAnswer(codes.Unavailable, "gone"),
	"timeout before":     kurrenttest.Refuse(codes.Aborted, "Operation timed out: prepare"),
	"timeout after":      kurrenttest.LoseAnswer(codes.Aborted, "Operation timed out: commit"),
	"deadline after":     kurrenttest.LoseAnswer(codes.DeadlineExceeded, "deadline"),
	"unknown after":      kurrenttest.LoseAnswer(codes.Unknown, "Unexpected OperationResult"),
	"no leader info":     kurrenttest.Refuse(codes.Unknown, "No leader info available in response"),
	"connection before":  kurrenttest.BreakBefore(),
	"connection after":   kurrenttest.BreakAfter(),
	"silence before":     kurrenttest.Hang(),
	"silence after":      kurrenttest.HangAfter(),
	"early unavailable":  kurrenttest.RefuseEarly(codes.Unavailable, "Server Is Not Ready"),
}

// An answer that is lost, however, is asked for again until it comes, and the
// append has happened once.
func TestALostAnswerIsAskedForAgain(t *testing.T) {
	for name, fault := range losses {
		t.Run(name, func(t *testing.T) {
			server := kurrenttest.Start(t, kurrenttest.Options{})
			o := short
			o.AppendTimeout = 4 * time.Second
			if strings.HasPrefix(name, "silence") {
				o.AppendTimeout = time.Second // an attempt has half of it
			}
			s := open(t, server.ConnectionString(), o)
			first := records(1)
			mustAppend(t, s, stream, 0, first)
			server.Fail(kurrenttest.Append, fault, 1)
			next := records(2)
			p := mustAppend(t, s, stream, 1, next)
			all := mustRead(t, s, stream)
			if len(all) != 3 || all[2].ID != next[1].ID || all[2].Position != p {
				t.Fatalf("%d records, the append at %d", len(all), p)
			}
			if n := server.Counts(kurrenttest.Append).Faults; n != 1 {
				t.Errorf("%d faults happened", n)
			}
		})
	}
}

// While no answer comes the outcome is unknown, whether it happened or not; and
// the identical append finds out later.
func TestAnOutcomeThatStaysUnknownIsSaidToBe(t *testing.T) {
	for name, fault := range map[string]kurrenttest.Fault{
		"happened":     kurrenttest.LoseAnswer(codes.Unavailable, "gone"),
		"silently":     kurrenttest.HangAfter(),
		"not happened": kurrenttest.Hang(),
	} {
		t.Run(name, func(t *testing.T) {
			server := kurrenttest.Start(t, kurrenttest.Options{})
			s := open(t, server.ConnectionString(), short)
			server.FailEvery(kurrenttest.Append, fault, 1)
			r := records(2)
			began := time.Now()
			_, err := s.Append(within(t), stream, 0, r)
			if !errors.Is(err, eventstore.ErrUnknownOutcome) || errors.Is(err, eventstore.ErrUnavailable) {
				t.Fatalf("error %v", err)
			}
			if took := time.Since(began); took > short.AppendTimeout+3*time.Second {
				t.Errorf("it took %s", took)
			}
			server.Heal()
			p := mustAppend(t, s, stream, 0, r)
			if all := mustRead(t, s, stream); len(all) != 2 || all[1].Position != p {
				t.Fatalf("%d records; the repeat is at %d", len(all), p)
			}
		})
	}
}

// Who gives up waiting for an append that was sent does not know what became of it.
func TestAnAppendThatIsGivenUpHasAnUnknownOutcome(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{})
	s := open(t, server.ConnectionString(), kurrent.Options{})
	server.Fail(kurrenttest.Append, kurrenttest.HangAfter(), 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := s.Append(ctx, stream, 0, records(1))
		ended <- err
	}()
	for len(server.Records(stream)) == 0 {
		time.Sleep(time.Millisecond) // until the server has done it
	}
	cancel()
	if err := <-ended; !errors.Is(err, eventstore.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
}

// ErrUnavailable promises that nothing was appended and nothing will be.
func TestAnUnreachableServerIsUnavailable(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{})
	s := open(t, server.ConnectionString(), short)
	server.Stop()
	for s.Ready(within(t)) == nil {
		time.Sleep(time.Millisecond) // until the connection is known to be lost
	}
	r := records(1)
	for range 3 {
		if _, err := s.Append(within(t), stream, 0, r); !errors.Is(err, eventstore.ErrUnavailable) || errors.Is(err, eventstore.ErrUnknownOutcome) {
			t.Fatalf("error %v", err)
		}
	}
	const callers = 50
	began := time.Now()
	for range callers {
		_, _ = s.Append(within(t), stream, 0, r) // it cannot succeed
	}
	if took := time.Since(began); took > callers*short.AppendTimeout/4 {
		t.Errorf("%d appends waited %s for a server that is known to be away", callers, took)
	}
	if _, err := s.Head(within(t)); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("head: error %v", err)
	}
	if err := s.Ready(within(t)); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("ready: error %v", err)
	}
	for _, err := range s.Stream(within(t), stream, 1) {
		if !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("stream: error %v", err)
		}
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	if len(server.Records(stream)) != 0 {
		t.Error("something was appended")
	}
	for s.Ready(within(t)) != nil {
		time.Sleep(time.Millisecond) // until the leader was found again
	}
	mustAppend(t, s, stream, 0, r)
}

// What the server refuses for good is not asked for again, and not called unknown.
func TestRefusedAppendsAreNotRepeated(t *testing.T) {
	for name, fault := range map[string]kurrenttest.Fault{
		"denied":       kurrenttest.Refuse(codes.PermissionDenied, "Access Denied"),
		"denied early": kurrenttest.RefuseEarly(codes.PermissionDenied, "Access Denied"),
		"invalid":      kurrenttest.RefuseEarly(codes.InvalidArgument, "Maximum Append Size of 1 Exceeded."),
	} {
		server := kurrenttest.Start(t, kurrenttest.Options{})
		s := open(t, server.ConnectionString(), short)
		server.FailEvery(kurrenttest.Append, fault, 1)
		_, err := s.Append(within(t), stream, 0, records(40))
		if err == nil || errors.Is(err, eventstore.ErrUnknownOutcome) || errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("%s: error %v", name, err)
		} else if !strings.Contains(err.Error(), fault.Err.Error()[len("rpc error: code = "):][:8]) {
			t.Errorf("%s: the error does not say what the server said: %v", name, err)
		}
		if n := server.Counts(kurrenttest.Append).Calls; n != 1 {
			t.Errorf("%s: %d calls", name, n)
		}
	}
}

func TestAppendsThatCannotBeAreRefusedUnsent(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{})
	s := open(t, server.ConnectionString(), kurrent.Options{})
	big := records(2)
	big[1].Data = []byte(`"` + strings.Repeat("x", 1<<20) + `"`)
	for name, err := range map[string]error{
		"at most 1048576 bytes": second(s.Append(within(t), stream, 0, big)),
		"not the name of":       second(s.Append(within(t), "invoice-1", 0, records(1))),
		"customer-":             second(s.Append(within(t), "customer-", 0, records(1))),
		"beyond":                second(s.Append(within(t), stream, 1<<63, records(1))),
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if n := server.Counts(kurrenttest.Append).Calls; n != 0 {
		t.Errorf("%d appends were sent", n)
	}
	big[1].Data = big[1].Data[:1<<20-len(big[0].Data)-2*len(big[0].Metadata)-2*2*len(big[0].Type)]
	mustAppend(t, s, stream, 0, big) // as much as there may be
}

func second[T any](_ T, err error) error { return err }

// More appends at once than a connection carries are sent over further ones.
func TestManyAppendsAtOnceShareConnections(t *testing.T) {
	const writers = 150
	server := kurrenttest.Start(t, kurrenttest.Options{})
	s := open(t, server.ConnectionString(), kurrent.Options{})
	if n := server.Connections(); n != 1 {
		t.Errorf("%d connections for one call at a time", n)
	}
	server.FailEvery(kurrenttest.Append, kurrenttest.Slow(200*time.Millisecond), 1)
	began := time.Now()
	ended := make(chan error, writers)
	for i := range writers {
		go func() {
			_, err := s.Append(within(t), stream+strings.Repeat("x", i), 0, records(1))
			ended <- err
		}()
	}
	for range writers {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if n := server.Connections(); n != 2 {
		t.Errorf("%d connections for %d appends at once", n, writers)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("they took %s", took)
	}
}
