package projections

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/planted"
	"github.com/pmledger/pmledger/gateway"
)

// errNotDue: somebody else has done the item, by a command of their own.
var errNotDue = errors.New("nothing is to be done any more")

// unansweredError: the gateway did not answer, and asking again may help.
type unansweredError struct{ err error }

func (e *unansweredError) Error() string { return e.err.Error() }
func (e *unansweredError) Unwrap() error { return e.err }

// perform does an item: asks the gateway unless the answer is recorded, and
// records it. last: what is not answered now is given up, and that is recorded.
func (w *Worker) perform(ctx context.Context, item work, last bool) (eventstore.Result, error) {
	release, err := w.claim(ctx, item.event)
	if err != nil {
		return eventstore.Result{}, err
	}
	defer release()
	state, _, err := w.o.Ledger.State(ctx, item.stream)
	if err != nil {
		return eventstore.Result{}, err
	}
	_, organization, _ := domain.StreamOwner(item.stream)
	c, ok := state.(*domain.Customer)
	if !ok || !item.open(c) {
		return w.recorded(ctx, item)
	}
	command, err := w.ask(ctx, c, item, last)
	if err != nil {
		return eventstore.Result{}, err
	}
	// Only now, so that policy and time are those of the decision.
	policy, now, err := w.o.Policy(ctx, organization)
	if err != nil {
		return eventstore.Result{}, err
	}
	r, err := w.record(ctx, item, now, func(context.Context) (domain.Command, error) { return command(policy), nil })
	if err == nil && !r.Replayed {
		w.givenUp(item, r.Events)
	}
	return r, err
}

// record runs the command that ends an item. Only the first one counts, whichever
// worker runs it: a later one gets the first one's result.
func (w *Worker) record(ctx context.Context, item work, now time.Time, prepare func(context.Context) (domain.Command, error)) (eventstore.Result, error) {
	event := domain.EventID(item.event)
	r, err := w.o.Ledger.Execute(ctx, eventstore.Request{
		Stream: item.stream, CommandID: ownCommandID(item.commandOf(), event), RequestMAC: own, Actor: item.actor, Reason: item.reason,
		Correlation: item.correlation, Causation: event, Traceparent: item.traceparent, Now: now, Prepare: prepare,
	})
	if refusal := domain.RefusalIn(r.Events); refusal != nil {
		// The answer is a fact; that it is a refusal concerns who asked.
		return r, &recordedError{refusal}
	}
	return r, err
}

// commandOf names the command that ends an item: a detach and a cancel can come
// from one event.
func (item work) commandOf() string {
	if item.kind.cancels() {
		return "cancel"
	}
	return "work"
}

// recordedError is a refusal that is recorded: the item is done.
type recordedError struct{ refusal error }

func (e *recordedError) Error() string { return e.refusal.Error() }
func (e *recordedError) Unwrap() error { return e.refusal }

// recorded returns the result of the command that ended an item, or errNotDue
// when another kind of command did.
func (w *Worker) recorded(ctx context.Context, item work) (eventstore.Result, error) {
	return w.record(ctx, item, w.o.Now(), func(context.Context) (domain.Command, error) { return nil, errNotDue })
}

// open tells whether the state still calls for the item.
func (item work) open(c *domain.Customer) bool {
	if item.kind.cancels() {
		_, open := item.left(c)
		return open
	}
	if item.kind == workSetup {
		s := c.SetupIntents[domain.SetupIntentID(item.subject)]
		return setupDue(s) && s.Version == item.version
	}
	due := workOf(c.Methods[domain.MethodID(item.subject)])
	for i, kind := range methodWork {
		if kind == item.kind {
			return due[i]
		}
	}
	return false
}

// command is what an answer leads to, once the policy is known.
type command func(domain.Policy) domain.Command

// ask asks the gateway what the item is about. Errors: *unansweredError, unless
// last.
func (w *Worker) ask(ctx context.Context, c *domain.Customer, item work, last bool) (command, error) {
	ctx, cancel := context.WithTimeout(ctx, w.o.Timeout)
	defer cancel()
	req := gateway.Request{Organization: c.Organization, Customer: c.ID, IdempotencyKey: domain.EventID(item.event), Now: item.at}
	if planted.FreshGatewayKey.Here() {
		req.IdempotencyKey = uuid.NewString()
	}
	if item.kind.cancels() {
		left, _ := item.left(c)
		return w.cancel(ctx, left, item, req, last)
	}
	if item.kind == workSetup {
		return w.setup(ctx, c.SetupIntents[domain.SetupIntentID(item.subject)], item, req, last)
	}
	m := c.Methods[domain.MethodID(item.subject)]
	req.Token = m.ProviderID
	switch item.kind {
	case workSync:
		return w.sync(ctx, m, item, req, last)
	case workVerify:
		return w.verify(ctx, m, req, last)
	default:
		return w.detach(ctx, m, req, last)
	}
}

// gateway returns the gateway of a provider. One that is not configured may be
// tomorrow.
func (w *Worker) gateway(provider string) (gateway.Gateway, error) {
	g, ok := w.o.Gateways[provider]
	if !ok {
		return nil, &gateway.Error{Kind: gateway.Unavailable, Message: fmt.Sprintf("no gateway %q is configured", provider)}
	}
	return g, nil
}

// answered sorts a gateway's error: refused is what it says for good; otherwise,
// and unless this was the last attempt, the error is an *unansweredError.
func answered(err error, last bool) (refused *gateway.Error, silent bool, again error) {
	kind := gateway.KindOf(err)
	if kind == gateway.Unavailable || kind == gateway.UnknownOutcome {
		if !last {
			return nil, false, &unansweredError{err}
		}
		silent = true
	}
	if !errors.As(err, &refused) {
		refused = &gateway.Error{Kind: kind}
	}
	return refused, silent, nil
}

const unreachable = "the payment provider could not be reached"

// sync learns what a token stands for. When the buyer has to approve it first,
// that begins here.
func (w *Worker) sync(ctx context.Context, m *domain.Method, item work, req gateway.Request, last bool) (command, error) {
	var i gateway.Instrument
	var approval *domain.Approval
	g, err := w.gateway(m.Provider)
	if err == nil {
		i, err = g.Lookup(ctx, req)
	}
	if err == nil && i.NeedsApproval {
		i, approval, err = w.approval(ctx, g, m, i, item, req)
	}
	if err != nil {
		refused, silent, again := answered(err, last)
		if again != nil {
			return nil, again
		}
		reason := refused.Message
		if silent {
			reason = unreachable
		}
		return always(domain.FailMethod{MethodID: m.ID, Reason: reason}), nil
	}
	return func(p domain.Policy) domain.Command {
		return domain.SyncMethod{
			MethodID: m.ID, Provider: m.Provider, ProviderID: m.ProviderID, Facts: i.Facts,
			Personal: domain.Personal{Holder: i.Holder, Email: i.Email}, News: i.News,
			Approval: approval, Policy: p,
		}
	}, nil
}

// approval asks what the buyer has to do. It may be nothing any more; then the
// approval is nil and the instrument is ready.
func (w *Worker) approval(
	ctx context.Context, g gateway.Gateway, m *domain.Method, i gateway.Instrument, item work, req gateway.Request,
) (gateway.Instrument, *domain.Approval, error) {
	intent := &domain.SetupIntent{
		ID: domain.NewSetupIntentID(item.derived()), Organization: m.Organization, Customer: m.Customer, MethodID: m.ID,
		Status: domain.SetupProcessing, Usage: "off_session", Provider: m.Provider, Token: m.ProviderID, Version: item.version,
	}
	a, err := g.Setup(ctx, req, gateway.Setup{Usage: intent.Usage, ReturnURL: w.o.ReturnURL(intent)})
	if err != nil || a.NextAction == nil {
		return a.Instrument, nil, err
	}
	return i, &domain.Approval{SetupIntentID: intent.ID, NextAction: *a.NextAction, Reference: a.Reference}, nil
}

func (w *Worker) verify(ctx context.Context, m *domain.Method, req gateway.Request, last bool) (command, error) {
	var v gateway.Verification
	g, err := w.gateway(m.Provider)
	if err == nil {
		v, err = g.Verify(ctx, req, gateway.Instrument{Facts: m.Facts, Holder: m.Personal.Holder, Email: m.Personal.Email})
	}
	if err == nil {
		return always(domain.RecordVerification{
			MethodID: m.ID, Asked: m.Verification.Asked, Kind: v.Kind, Amount: v.Amount, Currency: v.Currency, Done: v.Done, Named: v.Named,
			ArrivalDate: v.ArrivalDate, Reference: v.Reference,
		}), nil
	}
	refused, silent, again := answered(err, last)
	if again != nil {
		return nil, again
	}
	failed := domain.RecordVerification{MethodID: m.ID, Asked: m.Verification.Asked, Failed: domain.CauseDeclined}
	switch {
	case silent:
		failed.Failed = domain.CauseUnreachable
	case refused.Kind == gateway.Unsupported:
		failed.Failed = domain.CauseUnsupported
	case m.Type == domain.TypeCard:
		failed.Kind = domain.EvidenceCardAuth // the authorization was tried
	}
	return always(failed), nil
}

func (w *Worker) setup(ctx context.Context, s *domain.SetupIntent, item work, req gateway.Request, last bool) (command, error) {
	req.Token = s.Token
	var a gateway.SetupAnswer
	g, err := w.gateway(s.Provider)
	if err == nil {
		a, err = g.Setup(ctx, req, gateway.Setup{
			Usage: s.Usage, ReturnURL: w.o.ReturnURL(s), Approved: item.approved, Reference: s.Reference,
		})
	}
	resolve := domain.ResolveSetupIntent{SetupIntentID: s.ID, Version: s.Version}
	if err != nil {
		refused, silent, again := answered(err, last)
		if again != nil {
			return nil, again
		}
		resolve.Failure = setupFailure(refused, silent)
		return always(resolve), nil
	}
	resolve.Reference = a.Reference
	if a.NextAction != nil {
		resolve.NextAction = a.NextAction
		return always(resolve), nil
	}
	return func(p domain.Policy) domain.Command {
		resolve.Attach = &domain.AttachMethod{
			MethodID: domain.NewMethodID(item.derived()), Provider: s.Provider, ProviderID: s.Token,
			Facts: a.Instrument.Facts, FactsFrom: "gateway", News: a.Instrument.News, Policy: p,
			Personal: domain.Personal{Holder: a.Instrument.Holder, Email: a.Instrument.Email},
		}
		return resolve
	}, nil
}

func setupFailure(refused *gateway.Error, silent bool) *domain.SetupError {
	switch {
	case silent:
		return &domain.SetupError{Code: domain.CodeGatewayUnavailable, Message: unreachable}
	case refused.Kind == gateway.Declined:
		return &domain.SetupError{Code: domain.CodeGatewayDeclined, Message: refused.Message}
	default:
		return &domain.SetupError{Code: domain.CodeValidationFailed, Message: refused.Message}
	}
}

// derived is the id of what comes of an item, a UUIDv7 of the record that brought it:
// its time, and for randomness its id. Every worker gives it the same one.
func (item work) derived() uuid.UUID {
	id := item.event
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(item.at.UnixMilli()))
	copy(id[:6], at[2:])
	id[6] = id[6]&0x0f | 0x70
	return id
}

func (w *Worker) detach(ctx context.Context, m *domain.Method, req gateway.Request, last bool) (command, error) {
	shared, err := w.tokenInUse(ctx, m)
	if err != nil {
		return nil, err
	}
	if shared {
		return always(domain.RecordGatewayDetach{MethodID: m.ID, Kept: "another payment method stands for the same token"}), nil
	}
	g, ok := w.o.Gateways[m.Provider]
	if !ok {
		return always(domain.RecordGatewayDetach{MethodID: m.ID, Failure: "no gateway of this provider is configured"}), nil
	}
	err = g.Detach(ctx, req)
	if err == nil || gateway.KindOf(err) == gateway.UnknownToken {
		return always(domain.RecordGatewayDetach{MethodID: m.ID}), nil
	}
	refused, silent, again := answered(err, last)
	if again != nil {
		return nil, again
	}
	reason := refused.Message
	if silent {
		reason = unreachable
	}
	return always(domain.RecordGatewayDetach{MethodID: m.ID, Failure: reason}), nil
}

// tokenInUse tells whether an attached method of the organization has the same
// token: the provider must not forget it then.
func (w *Worker) tokenInUse(ctx context.Context, m *domain.Method) (bool, error) {
	head, err := w.o.Ledger.Head(ctx)
	if err == nil {
		err = w.o.Views.Wait(ctx, head)
	}
	if err != nil {
		return false, err
	}
	page, err := w.o.Views.Methods(m.Organization, MethodQuery{Provider: m.Provider, ProviderID: m.ProviderID, Limit: 1})
	return len(page.Items) > 0 || page.Next != "", err
}

func always(c domain.Command) command { return func(domain.Policy) domain.Command { return c } }
