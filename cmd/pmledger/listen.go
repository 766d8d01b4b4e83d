package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"regexp"
	"strconv"
	"time"

	"github.com/pmledger/pmledger/api"
)

// Bounds of a connection. A client that is slower than these is cut off.
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	profileTimeout = 5 * time.Minute // a profile is taken while its answer is written
	maxHeaderBytes = 16 << 10
)

// listen opens a TCP address, and says which flag to change when it cannot.
func listen(ctx context.Context, flag, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w (choose another address with --%s)", address, err, flag)
	}
	return l, nil
}

// serveHTTP serves handler on l until ctx ends, then stops accepting and gives
// running requests up to the drain timeout.
func serveHTTP(ctx context.Context, l net.Listener, handler http.Handler, c Config, log *slog.Logger) error {
	s := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout,
		WriteTimeout: requestTimeout + c.WaitTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return untilDone(ctx, s, c.DrainTimeout, func() error {
		if c.TLSCert != "" {
			return s.ServeTLS(l, c.TLSCert, c.TLSKey)
		}
		return s.Serve(problemListener{l})
	})
}

// serveAdmin serves metrics and profiles on l until ctx ends.
func serveAdmin(ctx context.Context, l net.Listener, metrics http.Handler) error {
	mux := http.NewServeMux()
	mux.Handle("/metrics", metrics)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout, WriteTimeout: profileTimeout, MaxHeaderBytes: maxHeaderBytes}
	return untilDone(ctx, s, time.Second, func() error { return s.Serve(l) })
}

// untilDone runs a server until ctx ends or it fails.
func untilDone(ctx context.Context, s *http.Server, drain time.Duration, serve func() error) error {
	failed := make(chan error, 1)
	go func() { failed <- serve() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	draining, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := s.Shutdown(draining); errors.Is(err, context.DeadlineExceeded) {
		return s.Close() // what still runs took too long; its clients see a closed connection
	} else if err != nil {
		return err
	}
	return nil
}

// problemListener makes the server's answers to what it cannot read problem documents,
// like every other error. net/http writes those itself, before any handler runs, each
// with one Write to the connection. Over TLS they stay as they are.
type problemListener struct{ net.Listener }

func (l problemListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		return problemConn{tcp}, err
	}
	return conn, err
}

type problemConn struct{ *net.TCPConn }

// unread is how the answers of net/http to 400 and 431 begin. Those of handlers have
// other headers.
var unread = regexp.MustCompile(`^HTTP/1\.1 (400|431) [^\r]*\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n`)

func (c problemConn) Write(b []byte) (int, error) {
	if !bytes.HasPrefix(b, []byte("HTTP/1.1 4")) {
		return c.TCPConn.Write(b)
	}
	found := unread.FindSubmatch(b)
	if found == nil {
		return c.TCPConn.Write(b)
	}
	status, _ := strconv.Atoi(string(found[1]))
	if _, err := c.TCPConn.Write(api.Unread(status)); err != nil {
		return 0, err
	}
	return len(b), nil
}
