package publisher

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// smallVolume mounts a file system of some megabytes, or skips the test.
func smallVolume(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small volume needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("a small volume cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all the space that is left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// A full volume makes the NATS server refuse single writes for good; only a restart
// mends that, which must come by itself and help as soon as there is room.
func TestServerRecoversFromAFullVolume(t *testing.T) {
	t.Parallel()
	dir, log := smallVolume(t), newOutbox(200)
	s := startServer(t, ServerOptions{Dir: filepath.Join(dir, "nats"), Listen: "127.0.0.1:0", Anonymous: true})
	t.Cleanup(s.Close) // before the volume goes
	p, stop := run(t, Options{Server: s, Source: log.source(), AckTimeout: 300 * time.Millisecond})
	defer stop()
	eventually(t, "published", caughtUp(p, log))
	url := s.URL()
	reader := client(t, s, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	for _, n := range []int{700, 10} {
		ballast := filepath.Join(dir, "ballast")
		fill(t, ballast)
		log.add(n)
		eventually(t, "the failure shows", func() bool { return p.Status().LastError != nil })
		if n <= singlesMax {
			eventually(t, "the server is restarted", func() bool { return s.Err() != nil || s.Restarts() > 0 })
		}
		log.add(3)
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		eventually(t, "published again", caughtUp(p, log))
	}
	_, js := writer(t, s)
	complete(t, js, log.all())
	if s.URL() != url {
		t.Errorf("the server moved from %s to %s", url, s.URL())
	}
	eventually(t, "the client is back", reader.IsConnected)
	if s.Restarts() == 0 {
		t.Error("the server never restarted")
	}
}

// JetStream switches itself off after some I/O errors while the server goes on.
func TestServerRestartsWhenItsStoreIsOff(t *testing.T) {
	t.Parallel()
	log, s := newOutbox(100), startServer(t, ServerOptions{})
	p, _ := run(t, Options{Server: s, Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	s.mu.Lock()
	instance := s.instance
	s.mu.Unlock()
	if err := instance.DisableJetStream(); err != nil {
		t.Fatal(err)
	}
	log.add(100)
	eventually(t, "published again", caughtUp(p, log))
	if s.Restarts() != 1 || s.Err() != nil {
		t.Errorf("%d restarts, %v", s.Restarts(), s.Err())
	}
	_, js := writer(t, s)
	complete(t, js, log.all())
}

func TestQuotaOfTheStoreShowsAndHoldsNothingUp(t *testing.T) {
	t.Parallel()
	log, s := newOutbox(2000), startServer(t, ServerOptions{MaxStore: 1 << 20})
	p, stop := run(t, Options{Server: s, Source: log.source(), AckTimeout: 300 * time.Millisecond})
	eventually(t, "the refusal shows", func() bool {
		err := p.Status().LastError
		return err != nil && strings.Contains(err.Error(), "insufficient resources") || err != nil && strings.Contains(err.Error(), "resource limits")
	})
	stop()
	s.Close()
	s = startServer(t, ServerOptions{Dir: s.options.Dir})
	p, _ = run(t, Options{Server: s, Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	_, js := writer(t, s)
	complete(t, js, log.all())
}

// Without these the server would acknowledge before a sync, end the process on a
// signal, or keep the stream in the system's folder for temporary files.
func TestServerOptionsThatMustNotBeLost(t *testing.T) {
	t.Parallel()
	s := startServer(t, ServerOptions{})
	o, err := s.serverOptions()
	if err != nil {
		t.Fatal(err)
	}
	if !o.SyncAlways || !o.NoSigs || o.StoreDir != s.options.Dir || !o.DontListen {
		t.Errorf("options %+v", o)
	}
}

func TestPortInUseIsNamedWithTheFlagToChange(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	s, err := StartServer(ServerOptions{Dir: t.TempDir(), Listen: l.Addr().String(), Anonymous: true, Logger: quiet(t)})
	if err == nil {
		s.Close()
		t.Fatal("it started")
	}
	if !strings.Contains(err.Error(), "--nats-listen") || !strings.Contains(err.Error(), "in use") {
		t.Errorf("the error does not help: %v", err)
	}
}

func TestFolderThatCannotBeUsedIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := StartServer(ServerOptions{Dir: file, Logger: quiet(t)})
	if err == nil {
		s.Close()
		t.Fatal("it started")
	}
	if !strings.Contains(err.Error(), file) {
		t.Errorf("the error does not name the folder: %v", err)
	}
}

func TestClosedServerDisconnectsItsClients(t *testing.T) {
	t.Parallel()
	s := startServer(t, ServerOptions{Listen: "127.0.0.1:0", Anonymous: true})
	nc := client(t, s, nats.NoReconnect())
	s.Close()
	s.Close()
	eventually(t, "the client is disconnected", nc.IsClosed)
	if _, err := s.InProcessConn(); err == nil {
		t.Error("a closed server takes connections")
	}
}

// A durable consumer that was made by a client is there again after a restart.
func TestDurableConsumersSurviveARestart(t *testing.T) {
	t.Parallel()
	log, dir := newOutbox(10), t.TempDir()
	s := startServer(t, ServerOptions{Dir: dir, Listen: "127.0.0.1:0", Anonymous: true})
	p, stop := run(t, Options{Server: s, Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	if got := next(t, s, 4); got != log.all()[3].EventID() {
		t.Errorf("the fourth message is %s", got)
	}
	stop()
	s.Close()
	s = startServer(t, ServerOptions{Dir: dir, Listen: "127.0.0.1:0", Anonymous: true})
	if got := next(t, s, 1); got != log.all()[4].EventID() {
		t.Errorf("after the restart comes %s", got)
	}
}

// next reads and acknowledges n messages through a durable consumer and returns the
// id of the last.
func next(t *testing.T, s *Server, n int) (id string) {
	t.Helper()
	js, err := jetstream.New(client(t, s))
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.CreateOrUpdateConsumer(context.Background(), StreamName, jetstream.ConsumerConfig{Durable: "audit", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		m, err := c.Next(jetstream.FetchMaxWait(5 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.DoubleAck(context.Background()); err != nil {
			t.Fatal(err)
		}
		id = m.Headers().Get("ce-id")
	}
	return id
}
