package api

import (
	"context"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/gateway"
)

// ask completes the command with what the gateway says of the token. When it does
// not say anything in time, the payment method is attached as pending and the
// worker asks again; when the buyer has to approve first, with the way there.
func (a *attachment) ask(ctx context.Context, cmd *domain.AttachMethod, request gateway.Request) error {
	c := a.call
	i, err := a.gateway.Lookup(ctx, request)
	switch {
	case c.request.Context().Err() != nil:
		return c.request.Context().Err()
	case unreachable(err):
		c.unanswered(a.provider, err)
		cmd.Unsynced, cmd.Facts = true, domain.Facts{Type: a.Type, Method: string(a.Type)}
		return nil
	case err != nil:
		return c.gatewayRefusal(a.provider, err)
	}
	return a.use(ctx, cmd, request, i)
}

// use takes over what the gateway knows, and asks for the buyer's approval when
// the instrument needs it.
func (a *attachment) use(ctx context.Context, cmd *domain.AttachMethod, request gateway.Request, i gateway.Instrument) error {
	c := a.call
	// Of another type it is refused anyway: nobody need be sent anywhere.
	if i.NeedsApproval && i.Type == a.Type {
		// The same for a repeat whose first attempt got no further than the provider.
		intent := domain.NewSetupIntentID(eventstore.EventID(a.stream(cmd.MethodID), c.commandID, -1))
		answer, err := a.gateway.Setup(ctx, request, gateway.Setup{Usage: "off_session", ReturnURL: c.Secrets.returnURL(c.PublicURL, intent, 0)})
		if err != nil {
			return c.gatewayRefusal(a.provider, err)
		}
		if answer.NextAction == nil {
			i = answer.Instrument
		} else {
			cmd.Approval = &domain.Approval{
				SetupIntentID: intent, RedirectURL: a.RedirectURL.or(""), NextAction: *answer.NextAction, Reference: answer.Reference,
			}
		}
	}
	cmd.Facts, cmd.News = i.Facts, i.News
	cmd.Personal.Holder, cmd.Personal.Email = i.Holder, i.Email
	return nil
}
