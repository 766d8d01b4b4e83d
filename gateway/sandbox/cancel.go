package sandbox

import (
	"context"
	"errors"
	"strings"

	"github.com/pmledger/pmledger/gateway"
)

// Cancel ends a verification by micro-deposits or a setup that awaits its buyer.
func (g *Gateway) Cancel(ctx context.Context, req gateway.Request, ref string) error {
	if ctx.Err() != nil {
		return gateway.Stopped(ctx)
	}
	t, err := g.read(req.Token)
	if err != nil {
		return nil // of what is not known nothing is open
	}
	if err := t.outOfReach(); err != nil {
		return err
	}
	begun := []string{ref}
	if ref == "" {
		begun = g.state.begun(req)
	}
	for i, ref := range begun {
		if !begunFor(ref, "verification", req) && !begunFor(ref, "setup", req) {
			continue
		}
		c := g.call(opCancel, req, t, ref)
		c.ends = ref
		if i > 0 {
			c.Key += "+" // another effect of the same request
		}
		_, err := perform(&g.state, c, func() (bool, error) {
			if g.state.ended[ref] != nil {
				return false, errOver
			}
			return true, nil
		})
		if err != nil && !errors.Is(err, errOver) {
			return err
		}
	}
	return nil
}

// errOver: there is nothing to cancel any more.
var errOver = errors.New("it has ended already")

// begun names what calls with the request's idempotency key have begun.
func (s *state) begun(req gateway.Request) (refs []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, call := range [][2]string{{opVerify, "verification"}, {opSetup, "setup"}} {
		if s.answers[Effect{Op: call[0], Organization: req.Organization, Key: req.IdempotencyKey}.name()] != nil {
			refs = append(refs, reference(call[1], req))
		}
	}
	return refs
}

// canceled is for those who hold the lock.
func (s *state) canceled(ref string) bool {
	e := s.ended[ref]
	return e != nil && e.Op == opCancel
}

func wasCanceled() error {
	return &gateway.Error{Kind: gateway.Declined, Message: "this was canceled at the payment provider"}
}

// reference names what a request begins. The sandbox knows by the name alone whom
// it was begun for, also after a restart without a directory.
func reference(of string, req gateway.Request) string {
	return begin(of, req) + digest(req.IdempotencyKey)[:8]
}

// begunFor tells whether a reference names something of that kind, of the
// request's customer and token.
func begunFor(ref, of string, req gateway.Request) bool {
	return strings.HasPrefix(ref, begin(of, req))
}

func begin(of string, req gateway.Request) string {
	return "sandbox_" + of + "_" + digest(req.Organization, req.Customer, req.Token) + "_"
}
