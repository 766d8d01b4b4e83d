package stripe

import (
	"context"
	"net/http"
	"slices"

	stripego "github.com/stripe/stripe-go/v82"

	"github.com/pmledger/pmledger/gateway"
)

// Cancel cancels the SetupIntent: micro-deposits cannot be named any more, and its
// client secret opens nothing.
func (g *Gateway) Cancel(ctx context.Context, req gateway.Request, reference string) error {
	if ctx.Err() != nil {
		return gateway.Stopped(ctx)
	}
	intents, err := g.begun(ctx, req, reference)
	for _, intent := range intents {
		if err == nil {
			err = g.abandon(ctx, req, intent)
		}
	}
	if err != nil && gateway.KindOf(err) == gateway.UnknownToken {
		return nil
	}
	return err
}

// begun finds the intent of that id, or those that the request's key marks: the
// answer to their creation never came.
func (g *Gateway) begun(ctx context.Context, req gateway.Request, id string) ([]*stripego.SetupIntent, error) {
	if id != "" {
		intent, err := g.reread(ctx, req, id)
		return []*stripego.SetupIntent{intent}, err
	}
	if !tokenForm.MatchString(req.Token) {
		return nil, unknownToken()
	}
	all, err := g.intentsOf(ctx, req, req.Token)
	return slices.DeleteFunc(all, func(intent *stripego.SetupIntent) bool {
		return !slices.ContainsFunc([]string{"verify", "resend", "setup"}, func(op string) bool {
			return intent.Metadata[metaRequest] == op+"-"+mark(req)
		})
	}), err
}

// abandon cancels an intent that is not over. Stripe refuses that for one that is
// over or at work, and repeats even a refusal to the same key, for a day: so after
// one the intent is looked at again, and asked about under another key.
func (g *Gateway) abandon(ctx context.Context, req gateway.Request, intent *stripego.SetupIntent) error {
	for _, op := range []string{"cancel", "cancel-again"} {
		switch intent.Status {
		case stripego.SetupIntentStatusSucceeded, stripego.SetupIntentStatusCanceled:
			return nil
		case stripego.SetupIntentStatusProcessing:
			return stillAtWork()
		}
		// One request may have begun several.
		err := g.cancel(ctx, req, intent.ID, op+"-"+word(intent.ID), stripego.SetupIntentCancellationReasonAbandoned)
		if codeOf(err) != stripego.ErrorCodeSetupIntentUnexpectedState && !replayedFailure(err) {
			return err
		}
		if intent, err = g.reread(ctx, req, intent.ID); err != nil {
			return err
		}
	}
	if intent.Status == stripego.SetupIntentStatusSucceeded || intent.Status == stripego.SetupIntentStatusCanceled {
		return nil
	}
	return stillAtWork()
}

// cancel asks Stripe to end an intent. One that has ended already, or is at work,
// is refused with the code setup_intent_unexpected_state.
func (g *Gateway) cancel(ctx context.Context, req gateway.Request, id, op string, why stripego.SetupIntentCancellationReason) error {
	return asIntent(g.ask(ctx, question{
		req: req, op: op, method: http.MethodPost, path: "/v1/setup_intents/" + id + "/cancel",
		params: &stripego.SetupIntentCancelParams{CancellationReason: stripego.String(string(why))},
	}, &stripego.SetupIntent{}))
}

// makeRoom ends an intent that another takes the place of. One that has ended
// already is no error.
func (g *Gateway) makeRoom(ctx context.Context, req gateway.Request, id, op string) error {
	err := g.cancel(ctx, req, id, op, stripego.SetupIntentCancellationReasonDuplicate)
	if codeOf(err) == stripego.ErrorCodeSetupIntentUnexpectedState {
		return nil
	}
	return err
}
