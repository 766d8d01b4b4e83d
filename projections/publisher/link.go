package publisher

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// link is what is known about the connection. It must be used with mu held.
type link struct {
	denied error  // what the server does not let the user do; nil on a fresh connection
	dial   error  // why the last attempt to connect did not reach a server
	warned string // version of the server that was last warned about
	lonely string // "said" when one replica in a cluster was warned about
}

// connect never fails for want of a server or of its trust: the client keeps trying.
func (p *Publisher) connect() error {
	options := []nats.Option{
		nats.Name("pmledger publisher"),
		nats.CustomInboxPrefix(replyPrefix),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1),
		nats.IgnoreAuthErrorAbort(), // credentials are mended while the API serves
		nats.CustomReconnectDelay(func(attempts int) time.Duration {
			return min(time.Duration(attempts)*reconnect, time.Second) + rand.N(reconnect)
		}),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(pingsUnanswered),
		nats.FlusherTimeout(p.o.AckTimeout), // of a write, which holds the connection's lock
		nats.ConnectHandler(func(*nats.Conn) { p.renewed(false) }),
		nats.ReconnectHandler(func(*nats.Conn) { p.renewed(true) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { p.unreached(err) }),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { p.disconnect() }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { p.complaint(err) }),
	}
	if p.o.Server != nil {
		options = append(options, p.o.Server.publisherOptions()...)
	}
	nc, err := nats.Connect(p.o.URL, append(options, p.o.Connect...)...)
	if err != nil {
		return err
	}
	if _, err := nc.ChanSubscribe(p.inbox+"*", p.acks); err != nil {
		nc.Close()
		return err
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(p.o.AckTimeout))
	if err != nil {
		nc.Close()
		return err
	}
	p.nc, p.js = nc, js
	return nil
}

func (p *Publisher) renewed(again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.link.denied, p.link.dial = nil, nil
	p.status.Connected = p.status.Connected || again
}

func (p *Publisher) unreached(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.link.dial = err
}

// disconnect ends the session that runs: what it waits for will not come.
func (p *Publisher) disconnect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Connected = false
	if p.endNow != nil {
		p.endNow(errCut)
	}
}

// complaint takes what the server says outside of an answer. A request that is not
// permitted gets no answer, only this; so it ends the session that waits for one.
func (p *Publisher) complaint(err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		if !refusesCredentials(err) { // whyDown says it
			p.o.Logger.Warn("the publisher's NATS connection reports an error", "error", err)
		}
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.link.denied = fmt.Errorf("NATS does not let this user do what publishing needs: %w (pmledger nats permissions lists it)", err)
	if p.endNow != nil {
		p.endNow(p.link.denied)
	}
}

// renew makes a new connection when the server has denied something on this one:
// a subscription that was refused is not tried again on its own, and credentials
// are read when a connection is made.
func (p *Publisher) renew() {
	if p.deniedBy() != nil {
		p.reconnect()
	}
}

// leave makes a new connection, to the next server when there are several, after a
// session that ended because no answer came. The connection may carry nothing any
// more, which a way that just swallows everything does not tell.
func (p *Publisher) leave(ctx context.Context, why error) {
	if !errors.Is(why, errSilent) && !errors.Is(why, errUnacknowledged) {
		return
	}
	p.reconnect()
	for began := time.Now(); !p.nc.IsConnected() && time.Since(began) < nats.DefaultTimeout; {
		if pause(ctx, reconnect) != nil {
			return
		}
	}
}

func (p *Publisher) reconnect() {
	if err := p.nc.ForceReconnect(); err != nil {
		p.o.Logger.Warn("the connection to NATS cannot be renewed", "error", err)
	}
}

func (p *Publisher) deniedBy() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link.denied
}

// whyDown is the error of a session without a connection.
func (p *Publisher) whyDown() error {
	if p.o.Server != nil {
		if err := p.o.Server.Err(); err != nil {
			return err
		}
	}
	if err := p.deniedBy(); err != nil {
		return err
	}
	err := p.nc.LastError()
	if err == nil {
		p.mu.Lock()
		err = p.link.dial
		p.mu.Unlock()
	}
	return downBecause(err)
}

// downBecause says what an operator can do about a connection that fails.
func downBecause(err error) error {
	switch {
	case err == nil:
		return errDown
	case refusesCredentials(err):
		return fmt.Errorf("NATS refuses the credentials: %w", err)
	case errors.Is(err, nats.ErrSecureConnWanted):
		return fmt.Errorf("%w: %w: the server has no TLS, but a certificate or tls:// is configured", errDown, err)
	}
	return fmt.Errorf("%w: %w", errDown, err)
}

func refusesCredentials(err error) bool {
	for _, refusal := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
		nats.ErrNkeysNotSupported,
	} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}
