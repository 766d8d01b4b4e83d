package kurrenttest

import (
	"net"
	"sync"
)

// listener knows its connections: how many there are, and how to break and to
// freeze them.
type listener struct {
	net.Listener

	mu     sync.Mutex
	conns  map[string]*conn // by the client's address
	frozen chan struct{}    // closed when nothing is frozen
}

func newListener(l net.Listener) *listener {
	open := make(chan struct{})
	close(open)
	return &listener{Listener: l, conns: map[string]*conn{}, frozen: open}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, listener: l, closed: make(chan struct{})}
	l.mu.Lock()
	l.conns[raw.RemoteAddr().String()] = c
	l.mu.Unlock()
	return c, nil
}

func (l *listener) freeze(yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	frozen := true
	select {
	case <-l.frozen:
		frozen = false
	default:
	}
	switch {
	case yes && !frozen:
		l.frozen = make(chan struct{})
	case !yes && frozen:
		close(l.frozen)
	}
}

func (l *listener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

func (l *listener) breakAll() {
	l.mu.Lock()
	conns := make([]*conn, 0, len(l.conns))
	for _, c := range l.conns {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // it may be closed already
	}
}

func (l *listener) breakOne(client string) {
	l.mu.Lock()
	c := l.conns[client]
	l.mu.Unlock()
	if c != nil {
		_ = c.Close() // it may be closed already
	}
}

// conn is a connection that nothing passes while its listener is frozen.
type conn struct {
	net.Conn
	listener *listener
	once     sync.Once
	closed   chan struct{}
}

// thawed waits until data may pass.
func (c *conn) thawed() error {
	c.listener.mu.Lock()
	frozen := c.listener.frozen
	c.listener.mu.Unlock()
	select {
	case <-frozen:
		return nil
	case <-c.closed:
		return net.ErrClosed
	}
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		return n, err
	}
	return n, c.thawed()
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	if err := c.thawed(); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.listener.mu.Lock()
		delete(c.listener.conns, c.RemoteAddr().String())
		c.listener.mu.Unlock()
	})
	return c.Conn.Close()
}
