package publisher

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	startTimeout = 2 * time.Minute // recovering a large stream without its index
	checkEvery   = time.Second
	restartFirst = 250 * time.Millisecond
	restartMost  = 15 * time.Second
	// defaultMaxStore is no quota in practice: the publisher's free-space gate
	// guards the disk, and the server's own default (a share of what happens to be
	// free at start) would shrink from one start to the next.
	defaultMaxStore = 1 << 50
	maxMemory       = 64 << 20 // for the ephemeral consumers of clients
	publisherUser   = "publisher"
	anonymousUser   = "anonymous"
)

// ServerOptions describe the embedded NATS server.
type ServerOptions struct {
	// Dir holds the stream. All of it can be rebuilt from the log.
	Dir string
	// Listen is host:port for clients; port 0 takes a free one; "" serves this
	// process only.
	Listen string
	// User and Password are what clients must give. Without them StartServer
	// refuses to listen, unless Anonymous is set.
	User, Password string
	// Anonymous admits clients without credentials. They have the rights of
	// ordinary clients: read, never write.
	Anonymous bool
	// MaxStore bounds the bytes of the stream on disk; 0 is no bound.
	MaxStore int64
	// Logger is required.
	Logger *slog.Logger
}

// Server is a NATS server inside this process with a file-backed JetStream that
// syncs every write. It starts itself again, with back-off, when its store fails;
// connections made through InProcessConn find the new one by reconnecting.
// Methods are safe for concurrent use.
type Server struct {
	options  ServerOptions
	password string // of the publisher's own user; lives and dies with this Server
	suspect  chan struct{}
	stop     chan struct{}
	done     chan struct{}
	close    sync.Once

	mu       sync.Mutex
	listen   string         // as bound, so that a restart takes the same port
	instance *server.Server // nil while it is being restarted
	failure  error          // why there is none
	restarts int
}

// StartServer starts the server and returns when it accepts connections and has
// recovered its stream. The caller must Close it.
func StartServer(o ServerOptions) (*Server, error) {
	if o.Dir == "" {
		return nil, errors.New("the embedded NATS server needs a folder for its stream")
	}
	if o.Listen != "" && !o.Anonymous && (o.User == "" || o.Password == "") {
		return nil, fmt.Errorf("the embedded NATS server does not listen on %s without a user and a password for its clients", o.Listen)
	}
	if o.User == publisherUser || o.User == anonymousUser {
		return nil, fmt.Errorf("%q is a user of the NATS server itself: choose another name for clients", o.User)
	}
	if o.MaxStore == 0 {
		o.MaxStore = defaultMaxStore
	}
	s := &Server{
		options: o, password: rand.Text(), listen: o.Listen,
		suspect: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if err := s.start(); err != nil {
		return nil, err
	}
	go s.supervise()
	return s, nil
}

// URL is where clients connect, "" when the server only serves this process.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listen == "" {
		return ""
	}
	return "nats://" + s.listen
}

// Err is nil while the server runs, otherwise why it is down. It is being
// restarted then.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// Restarts counts the restarts since StartServer.
func (s *Server) Restarts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.restarts
}

// InProcessConn opens a connection that uses no socket, for nats.InProcessServer.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.instance == nil {
		return nil, fmt.Errorf("the embedded NATS server is down: %w", s.failure)
	}
	return s.instance.InProcessConn()
}

// Close shuts the server down: clients are disconnected, the stream is written
// out. Calls after the first wait for it and do nothing else.
func (s *Server) Close() {
	s.close.Do(func() { close(s.stop) })
	<-s.done
}

// blockBytes is the size of the block files.
func (s *Server) blockBytes() (size uint64, err error) {
	files, err := s.blockFiles()
	for _, file := range files {
		info, statErr := os.Stat(file)
		if statErr != nil {
			return 0, statErr
		}
		size += uint64(info.Size())
	}
	return size, err
}

// blockFiles are the files that hold the stream's messages.
func (s *Server) blockFiles() ([]string, error) {
	return filepath.Glob(filepath.Join(s.options.Dir, "jetstream", "*", "streams", StreamName, "msgs", "*.blk"))
}

// publisherOptions connect as the one user that may write.
func (s *Server) publisherOptions() []nats.Option {
	return []nats.Option{nats.InProcessServer(s), nats.UserInfo(publisherUser, s.password)}
}

// doubt asks for a health check now, because an acknowledgement is overdue.
func (s *Server) doubt() {
	select {
	case s.suspect <- struct{}{}:
	default:
	}
}

func (s *Server) supervise() {
	defer close(s.done)
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			s.halt(errors.New("the server was closed"))
			return
		case <-tick.C:
		case <-s.suspect:
		}
		if err := s.check(); err != nil && !s.restart(err) {
			return
		}
	}
}

// restart replaces a failed instance and reports false when Close came first.
func (s *Server) restart(cause error) bool {
	for delay := restartFirst; ; delay = min(2*delay, restartMost) {
		s.options.Logger.Error("the embedded NATS server failed and is restarted", "cause", cause, "delay", delay)
		s.halt(cause)
		select {
		case <-s.stop:
			return false
		case <-time.After(delay):
		}
		err := s.start()
		if err == nil {
			err = s.check()
		}
		if err == nil {
			s.mu.Lock()
			s.restarts++
			s.mu.Unlock()
			s.options.Logger.Info("the embedded NATS server runs again")
			return true
		}
		cause = err
	}
}

// halt ends the running instance, if there is one.
func (s *Server) halt(cause error) {
	s.mu.Lock()
	instance := s.instance
	s.instance, s.failure = nil, cause
	s.mu.Unlock()
	if instance != nil {
		instance.Shutdown()
		instance.WaitForShutdown()
	}
}

// check asks the server for errors that it does not recover from by itself: a
// store that refuses writes, JetStream switched off after an I/O error.
func (s *Server) check() error {
	s.mu.Lock()
	instance := s.instance
	s.mu.Unlock()
	if !instance.Running() {
		return errors.New("the server is not running")
	}
	if h := instance.Healthz(&server.HealthzOptions{}); h.StatusCode != 200 {
		return fmt.Errorf("the server's store: %s", h.Error)
	}
	return nil
}

func (s *Server) start() error {
	options, err := s.serverOptions()
	if err != nil {
		return err
	}
	if err := probe(s.listen); err != nil {
		return err
	}
	if err := s.cutBlocks(); err != nil {
		return fmt.Errorf("the block files in %s: %w", s.options.Dir, err)
	}
	instance, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("embedded NATS server: %w", err)
	}
	log := &serverLog{logger: s.options.Logger, fatal: make(chan string, 1)}
	instance.SetLoggerV2(log, false, false, false)
	go instance.Start()
	if err := awaitReady(instance, log.fatal); err != nil {
		instance.Shutdown()
		instance.WaitForShutdown()
		return fmt.Errorf("embedded NATS server in %s: %w", s.options.Dir, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instance, s.failure = instance, nil
	if s.listen != "" {
		s.listen = instance.Addr().String()
	}
	return nil
}

func awaitReady(instance *server.Server, fatal <-chan string) error {
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
		if instance.ReadyForConnections(20 * time.Millisecond) {
			return nil
		}
		select {
		case reason := <-fatal:
			return errors.New(reason)
		default:
		}
	}
	return fmt.Errorf("it was not ready after %s", startTimeout)
}

// probe finds out whether the address can be bound, to name the cause better than
// the server's log would.
func probe(listen string) error {
	if listen == "" {
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", listen)
	if err != nil {
		return fmt.Errorf("the embedded NATS server cannot listen on %s: %w (choose another address with --nats-listen)", listen, err)
	}
	return l.Close()
}

func (s *Server) serverOptions() (*server.Options, error) {
	o := &server.Options{
		ServerName: "pmledger", JetStream: true, StoreDir: s.options.Dir, SyncAlways: true,
		JetStreamMaxStore: s.options.MaxStore, JetStreamMaxMemory: maxMemory,
		NoSigs: true, DisableJetStreamBanner: true, DontListen: s.listen == "",
	}
	if s.listen != "" {
		host, port, err := net.SplitHostPort(s.listen)
		if err != nil {
			return nil, fmt.Errorf("--nats-listen %q is not host:port: %w", s.listen, err)
		}
		if o.Port, err = strconv.Atoi(port); err != nil {
			return nil, fmt.Errorf("--nats-listen %q has no number as its port", s.listen)
		}
		if o.Host = host; o.Port == 0 {
			o.Port = server.RANDOM_PORT
		}
	}
	if err := s.admit(o); err != nil {
		return nil, err
	}
	return o, nil
}
