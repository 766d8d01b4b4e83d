package kurrent

import (
	"errors"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// pool is connections to one node for one purpose. It is closed when it was retired
// and nobody uses it any more, so that no call is cut off by another one's error.
type pool struct {
	mu      sync.Mutex
	conns   []*conn
	users   int
	retired bool
}

// conn is a connection and the number of calls under way on it, which the pool's
// lock guards. It connects with the first.
type conn struct {
	*grpc.ClientConn
	busy int
}

func newPool(address string, size int, options []grpc.DialOption) (*pool, error) {
	p := &pool{}
	for range size {
		c, err := grpc.NewClient(address, options...)
		if err != nil {
			return nil, errors.Join(err, p.closeAll())
		}
		p.conns = append(p.conns, &conn{ClientConn: c})
	}
	return p, nil
}

// take returns the connection for the next call: the first that has room, else the
// least busy one. give must be called. It returns nil when the pool was retired.
func (p *pool) take() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retired {
		return nil
	}
	best := p.conns[0]
	for _, c := range p.conns {
		if c.busy < fullConn {
			best = c
			break
		}
		if c.busy < best.busy {
			best = c
		}
	}
	best.busy++
	p.users++
	return best
}

func (p *pool) give(c *conn) {
	p.mu.Lock()
	c.busy--
	p.users--
	last := p.retired && p.users == 0
	p.mu.Unlock()
	if last {
		_ = p.closeAll() // nobody is left whom it could concern
	}
}

// retire lets the pool be closed when its last user leaves.
func (p *pool) retire() {
	p.mu.Lock()
	p.retired = true
	unused := p.users == 0
	p.mu.Unlock()
	if unused {
		_ = p.closeAll() // nobody is left whom it could concern
	}
}

func (p *pool) gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.retired && p.users == 0
}

// closeAll ends every call that is under way.
func (p *pool) closeAll() error {
	var errs []error
	for _, c := range p.conns {
		if err := c.Close(); err != nil && status.Code(err) != codes.Canceled { // that is: closed before
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
