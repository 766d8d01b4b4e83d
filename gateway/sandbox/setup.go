package sandbox

import (
	"context"
	"fmt"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

// Setup makes an instrument ready at once, or sends the buyer to the return URL
// itself: the sandbox's buyer approves by coming back.
func (g *Gateway) Setup(ctx context.Context, req gateway.Request, s gateway.Setup) (gateway.SetupAnswer, error) {
	if ctx.Err() != nil {
		return gateway.SetupAnswer{}, gateway.Stopped(ctx)
	}
	t, err := g.usable(req.Token)
	if err != nil {
		return gateway.SetupAnswer{}, err
	}
	ref := reference("setup", req)
	if s.Approved {
		ref = s.Reference
	}
	if !begunFor(ref, "setup", req) {
		return gateway.SetupAnswer{}, unknown("the sandbox knows no such setup of this payment method")
	}
	op := opSetup
	if s.Approved {
		op = opApprove
	}
	c := g.call(op, req, t, fmt.Sprint(s.Usage, s.Reference))
	return perform(&g.state, c, func() (gateway.SetupAnswer, error) {
		if g.state.canceled(ref) {
			return gateway.SetupAnswer{}, wasCanceled()
		}
		if t.approval && !s.Approved {
			return gateway.SetupAnswer{NextAction: approval(s.ReturnURL, ref), Reference: ref}, nil
		}
		if t.approval && t.verifyFails {
			return gateway.SetupAnswer{}, &gateway.Error{Kind: gateway.Declined, Message: "the buyer did not approve this payment method"}
		}
		c.ends = ref
		ready := gateway.SetupAnswer{Instrument: t.instrument(), Reference: ref}
		ready.Instrument.NeedsApproval = false
		return ready, nil
	})
}

// approval is the way to the buyer's approval. Without a place to come back to,
// the client's own SDK would have to ask.
func approval(returnURL, ref string) *domain.NextAction {
	if returnURL == "" {
		return &domain.NextAction{Type: domain.ActionProviderSDK, SDKData: fmt.Sprintf(`{"reference":%q}`, ref)}
	}
	return &domain.NextAction{Type: domain.ActionRedirect, RedirectURL: returnURL, RedirectTarget: "any"}
}
