package kurrenttest

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

func TestFaultsOfAppends(t *testing.T) {
	for name, want := range map[string]struct {
		fault Fault
		code  esdb.ErrorCode
		done  int
	}{
		"refused":               {Refuse(codes.Unavailable, "Server Is Not Ready"), esdb.ErrorUnavailable, 0},
		"aborted after commit":  {LoseAnswer(codes.Aborted, "timeout"), esdb.ErrorAborted, 1},
		"deadline after commit": {LoseAnswer(codes.DeadlineExceeded, "timeout"), esdb.ErrorCodeDeadlineExceeded, 1},
		"broken before":         {BreakBefore(), esdb.ErrorUnavailable, 0},
		"broken after commit":   {BreakAfter(), esdb.ErrorUnavailable, 1},
		"not the leader":        {NotLeader(), esdb.ErrorCodeNotLeader, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := Start(t, Options{})
			c := client(t, s.ConnectionString())
			one := events(1)
			ctx := metadata.AppendToOutgoingContext(within(t), "requires-leader", "true")
			s.Fail(Append, want.fault, 1)
			_, err := c.AppendToStream(ctx, "customer-a+1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, one...)
			if codeOf(err) != want.code {
				t.Errorf("the append fails with %v", err)
			}
			if done, _ := s.Appends(); done != want.done {
				t.Errorf("%d appends are done, not %d", done, want.done)
			}
			write(t, c, "customer-a+1", esdb.NoStream{}, one...)
			if n := len(s.Records("customer-a+1")); n != 1 {
				t.Errorf("after the repeat there are %d records", n)
			}
			if c := s.Counts(Append); c.Calls != 2 || c.Faults != 1 {
				t.Errorf("counted %+v", c)
			}
		})
	}
}

func TestAnEarlyRefusalIsLostByTheClient(t *testing.T) {
	s := Start(t, Options{})
	c := client(t, s.ConnectionString())
	s.Fail(Append, RefuseEarly(codes.PermissionDenied, "Access Denied"), 1)
	big := events(40)
	for i := range big {
		big[i].Data = []byte(`"` + strings.Repeat("x", 20<<10) + `"`)
	}
	_, err := c.AppendToStream(within(t), "customer-a+1", esdb.AppendToStreamOptions{}, big...)
	if !errors.Is(err, io.EOF) && statusOf(err) != codes.PermissionDenied {
		t.Errorf("it fails with %v", err)
	}
	if done, _ := s.Appends(); done != 0 {
		t.Errorf("%d appends are done", done)
	}
}

func TestEveryManieth(t *testing.T) {
	s := Start(t, Options{})
	c := client(t, s.ConnectionString())
	s.FailEvery(ReadStream, Refuse(codes.Aborted, "again"), 3)
	failed := 0
	for range 9 {
		if _, err := read(t, c, "customer-a+1", esdb.ReadStreamOptions{}, 1); codeOf(err) == esdb.ErrorAborted {
			failed++
		}
	}
	s.Heal()
	if _, err := read(t, c, "customer-a+1", esdb.ReadStreamOptions{}, 1); failed != 3 || codeOf(err) != esdb.ErrorCodeResourceNotFound {
		t.Errorf("%d of 9 reads failed; once healed: %v", failed, err)
	}
}

func TestASilentServer(t *testing.T) {
	s := Start(t, Options{})
	c := client(t, s.ConnectionString())
	one := events(1)
	silent := func(fault Fault) error {
		s.Fail(Append, fault, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // the append must get there meanwhile
		defer cancel()
		_, err := c.AppendToStream(ctx, "customer-a+1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, one...)
		return err
	}
	if err := silent(Hang()); codeOf(err) != esdb.ErrorCodeDeadlineExceeded {
		t.Errorf("hanging: %v", err)
	}
	if done, _ := s.Appends(); done != 0 {
		t.Error("it was done")
	}
	if err := silent(HangAfter()); codeOf(err) != esdb.ErrorCodeDeadlineExceeded {
		t.Errorf("hanging after commit: %v", err)
	}
	if done, _ := s.Appends(); done != 1 {
		t.Error("it was not done")
	}
	s.Node(0).Freeze()
	if err := silent(Fault{}); codeOf(err) != esdb.ErrorCodeDeadlineExceeded {
		t.Errorf("frozen: %v", err)
	}
	s.Node(0).Thaw()
	write(t, c, "customer-a+1", esdb.NoStream{}, one...)
}

func TestStopAndRestart(t *testing.T) {
	s := Start(t, Options{})
	c := client(t, s.ConnectionString())
	write(t, c, "customer-a+1", esdb.NoStream{}, events(1)...)
	sub := subscribe(t, c, esdb.SubscribeToAllOptions{From: esdb.End{}})
	address := s.Node(0).Address()
	s.Stop()
	if s.Connections() != 0 {
		t.Errorf("%d connections to a server that is stopped", s.Connections())
	}
	for e := next(t, sub); e.SubscriptionDropped == nil; e = next(t, sub) {
		if e.EventAppeared != nil {
			t.Errorf("came %+v", e)
		}
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if s.Node(0).Address() != address {
		t.Errorf("it moved from %s to %s", address, s.Node(0).Address())
	}
	fresh := client(t, s.ConnectionString())
	write(t, fresh, "customer-a+1", esdb.Revision(0), events(1)...)
	if s.Connections() != 1 {
		t.Errorf("%d connections, not 1", s.Connections())
	}
}

// refusal is what an append is told that the server refuses at its first sight. When
// the refusal overtakes the append's first message, the client names the end of the
// call in place of the reason; then the append is tried again.
func refusal(t *testing.T, connection string) error {
	t.Helper()
	c, ctx := client(t, connection), within(t)
	for {
		_, err := c.AppendToStream(ctx, "customer-a+1", esdb.AppendToStreamOptions{}, events(1)...)
		if err == nil || ctx.Err() != nil || !strings.HasSuffix(err.Error(), io.EOF.Error()) {
			return err
		}
	}
}

func TestUsersAndTheRightToReadAll(t *testing.T) {
	s := Start(t, Options{TLS: true, Users: map[string]string{"clerk": "p@ss:word", "reader": "secret"}, AllReaders: []string{"reader"}})
	clerk, reader := client(t, s.ConnectionStringOf("clerk")), client(t, s.ConnectionStringOf("reader"))
	write(t, clerk, "customer-a+1", esdb.NoStream{}, events(1)...)
	if err := subscribeErr(t, clerk, esdb.Start{}); statusOf(err) != codes.PermissionDenied && codeOf(err) != esdb.ErrorCodeAccessDenied {
		t.Errorf("who may not read $all is told %v", err)
	}
	if err := subscribeErr(t, reader, esdb.Start{}); err != nil {
		t.Errorf("who may read $all is told %v", err)
	}
	for name, connection := range map[string]string{
		"a stranger":         strings.Replace(s.ConnectionStringOf("reader"), "reader:", "stranger:", 1),
		"a wrong password":   strings.Replace(s.ConnectionStringOf("reader"), ":secret@", ":guess@", 1),
		"another's password": strings.Replace(s.ConnectionStringOf("reader"), "reader:", "clerk:", 1),
	} {
		if err := refusal(t, connection); codeOf(err) != esdb.ErrorCodeUnauthenticated {
			t.Errorf("%s is told %v", name, err)
		}
	}
	anonymous := strings.Replace(s.ConnectionStringOf("reader"), "reader:secret@", "", 1)
	if err := refusal(t, anonymous); codeOf(err) != esdb.ErrorCodeAccessDenied {
		t.Errorf("who does not say who it is is told %v", err)
	}
	if _, err := New(Options{Users: map[string]string{"a": "b"}}); err == nil {
		t.Error("passwords without TLS are taken")
	}
}
