package publisher

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// bus is an external NATS server: one that the publisher does not hold.
type bus struct {
	t      testing.TB
	dir    string
	port   int
	config string // in the server's own language, on top of what options sets
	s      *server.Server
}

func startBus(t testing.TB) *bus { return startBusWith(t, "") }

// startBusWith starts a server with some lines of configuration.
func startBusWith(t testing.TB, config string) *bus {
	t.Helper()
	b := &bus{t: t, dir: t.TempDir(), port: server.RANDOM_PORT, config: config}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *bus) options() *server.Options {
	b.t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: b.port, JetStream: true, StoreDir: b.dir, SyncAlways: true, NoSigs: true, NoLog: true}
	if b.config == "" {
		return o
	}
	if err := o.ProcessConfigString(b.config); err != nil {
		b.t.Fatal(err)
	}
	return o
}

// reload changes the configuration of the running server.
func (b *bus) reload(config string) {
	b.t.Helper()
	b.config = config
	if err := b.s.ReloadOptions(b.options()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bus) start() {
	b.t.Helper()
	s, err := server.NewServer(b.options())
	if err != nil {
		b.t.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		b.t.Fatal("the external NATS server does not start")
	}
	b.s, b.port = s, s.Addr().(*net.TCPAddr).Port
}

func (b *bus) stop() {
	b.s.Shutdown()
	b.s.WaitForShutdown()
}

func (b *bus) url() string { return b.s.ClientURL() }

func (b *bus) js(options ...nats.Option) jetstream.JetStream {
	b.t.Helper()
	nc, err := nats.Connect(b.url(), options...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		b.t.Fatal(err)
	}
	return js
}

// wire carries connections to a server. A muted wire still delivers what the client
// sends but swallows every answer; a cut wire ends all connections. One that was
// stalled carries nothing any more on the connections it has, and new ones as ever.
type wire struct {
	listener net.Listener
	target   string
	muted    atomic.Bool
	lie      atomic.Pointer[func(answer []byte) []byte] // what it makes of an answer; nil leaves it alone
	rate     atomic.Int64                               // bytes a second to the server on each connection; 0: no limit
	made     atomic.Int64                               // how many connections
	stalled  atomic.Int64                               // the first so many of these carry nothing
	ended    chan struct{}
	mu       sync.Mutex
	open     []net.Conn
	running  sync.WaitGroup
}

func newWire(t testing.TB, target string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, target: target, ended: make(chan struct{})}
	w.running.Go(w.accept)
	t.Cleanup(func() {
		_ = l.Close()
		close(w.ended)
		w.cut()
		w.running.Wait()
	})
	return w
}

func (w *wire) url() string { return "nats://" + w.listener.Addr().String() }

func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		upstream, err := net.Dial("tcp", w.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		w.mu.Lock()
		w.open = append(w.open, client, upstream)
		w.mu.Unlock()
		number := w.made.Add(1)
		w.running.Go(func() {
			_, _ = io.Copy(carries{upstream, w, number}, client)
			_ = upstream.Close()
		})
		w.running.Go(func() { w.answers(client, upstream, number) })
	}
}

// stall makes the connections that there are look well and carry nothing.
func (w *wire) stall() { w.stalled.Store(w.made.Load()) }

// holds waits until the wire ends if the connection is stalled: nothing comes through
// then either.
func (w *wire) holds(number int64) bool {
	stalled := number <= w.stalled.Load()
	if stalled {
		<-w.ended
	}
	return stalled
}

// carries is the way to the server on one connection.
type carries struct {
	io.Writer
	w      *wire
	number int64
}

func (c carries) Write(b []byte) (int, error) {
	if c.w.holds(c.number) {
		return 0, net.ErrClosed
	}
	if rate := c.w.rate.Load(); rate > 0 {
		time.Sleep(time.Duration(len(b)) * time.Second / time.Duration(rate))
	}
	return c.Writer.Write(b)
}

func (w *wire) answers(client, upstream net.Conn, number int64) {
	defer func() { _ = client.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := upstream.Read(buffer)
		if err != nil {
			return
		}
		if w.muted.Load() {
			continue
		}
		if w.holds(number) {
			return
		}
		answer := buffer[:n]
		if lie := w.lie.Load(); lie != nil {
			answer = (*lie)(answer)
		}
		if _, err := client.Write(answer); err != nil {
			return
		}
	}
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		_ = c.Close()
	}
	w.open = nil
	w.muted.Store(false)
}
