package domain

import "fmt"

// BrokenHistoryError says that an event cannot follow the events before it. No
// command leads to such a stream: its records were lost, mixed up or forged.
type BrokenHistoryError struct {
	Event   string // stored name of the event that does not fit
	Promise string // what a history promises, and this one breaks
	Detail  string // which method or key
}

func (e *BrokenHistoryError) Error() string {
	return fmt.Sprintf("%s contradicts the history before it: %s (%s)", e.Event, e.Promise, e.Detail)
}

// What every history promises.
const (
	promiseAttachedOnce  = "a payment method is attached once"
	promiseKnown         = "an event is about a payment method that was attached before"
	promiseTerminal      = "nothing happens to a detached payment method"
	promiseOneDefault    = "a customer has at most one default, and each change starts from the present one"
	promiseDefaultStays  = "the default is not detached while it is the default"
	promiseOwnStream     = "an event stands in the stream of what it is about"
	promiseLetGo         = "a gateway lets go of a payment method once, after its detach"
	promiseCanceled      = "a gateway is told once of what was left open there"
	promiseUsedStays     = "a payment method is not detached while a subscription uses it"
	promiseUses          = "a subscription takes and releases the payment methods it uses"
	promiseEvidence      = "a payment method is verified by evidence that was asked for, in a bounded number of attempts"
	promiseIntentOnce    = "a setup intent is created once"
	promiseIntentKnown   = "an event is about a setup intent that was created before"
	promiseIntentOver    = "nothing happens to a setup intent that succeeded or was canceled"
	promiseClaimOnce     = "a subscription belongs to one customer"
	promiseModeOnce      = "an organization is made test or live once"
	promiseKeyIssuedOnce = "an API key is issued once"
	promiseKeyRevoked    = "an API key is revoked once, after it was issued"
	promiseClockForward  = "a test clock never goes back"
)

// Contradiction tells whether e cannot be the next event after those folded into
// s. Readers of a stream ask it before every Evolve and stop on an answer, which
// is a *BrokenHistoryError: a wrong answer is worse than none. It changes
// nothing and, without a contradiction, allocates nothing.
func Contradiction(s State, e Event) error {
	var promise, detail string
	switch s := s.(type) {
	case *Customer:
		promise, detail = s.contradiction(e)
	case *Organization:
		promise, detail = s.contradiction(e)
	case *Claim:
		promise, detail = s.contradiction(e)
	}
	if promise == "" {
		return nil
	}
	return &BrokenHistoryError{Event: e.StoredName(), Promise: promise, Detail: detail}
}

func (c *Customer) contradiction(e Event) (promise, detail string) {
	switch e := e.(type) {
	case MethodAttached:
		return c.contradictsAttach(e)
	case DefaultChanged:
		return c.contradictsDefault(e)
	case MethodDetached:
		if c.Default == e.MethodID {
			return promiseDefaultStays, string(e.MethodID)
		}
		if m := c.Methods[e.MethodID]; m != nil && len(m.InUseBy) > 0 {
			return promiseUsedStays, string(e.MethodID)
		}
		return c.contradictsLife(e.MethodID)
	case SubscriptionUpdated, SubscriptionDeleted:
		return c.contradictsUse(e)
	case VerificationStarted, VerificationAttemptFailed, VerificationEnded, MethodVerified:
		return c.contradictsEvidence(methodOf(e), e)
	case GatewayDetached:
		return c.contradictsRest(e.MethodID)
	case GatewayDetachFailed:
		return c.contradictsRest(e.MethodID)
	case GatewayCanceled, SetupGatewayCanceled:
		return c.contradictsCancel(e)
	case CommandAccepted, LedgerCreated:
		return "", ""
	case OrganizationCreated, OrganizationUpdated, TestClockSet, KeyCreated, KeyRevoked, SubscriptionClaimed:
		return promiseOwnStream, "not an event of a customer"
	}
	if promise, detail = c.contradictsLives(e); promise != "" {
		return promise, detail
	}
	if id := SetupIntentOf(e); id != "" {
		return c.contradictsIntent(id, e)
	}
	return "", ""
}

func (c *Customer) contradictsLives(e Event) (promise, detail string) {
	first, second := methodsOf(e)
	if first != "" {
		promise, detail = c.contradictsLife(first)
	}
	if promise == "" && second != "" {
		promise, detail = c.contradictsLife(second)
	}
	return promise, detail
}

func (c *Customer) contradictsUse(e Event) (promise, detail string) {
	switch e := e.(type) {
	case SubscriptionUpdated:
		before := c.Subscriptions[e.Subscription]
		before.ID = e.Subscription
		if before.changed(e.Status, e.MethodID) != e {
			return promiseUses, e.Subscription
		}
		if e.MethodID != "" && c.Methods[e.MethodID] == nil {
			return promiseKnown, string(e.MethodID)
		}
	case SubscriptionDeleted:
		if before, known := c.Subscriptions[e.Subscription]; !known || before.Uses() != e.Released {
			return promiseUses, e.Subscription
		}
	}
	return c.contradictsLives(e)
}

func (c *Customer) contradictsEvidence(id MethodID, e Event) (promise, detail string) {
	if promise, detail = c.contradictsLife(id); promise != "" {
		return promise, detail
	}
	v := c.Methods[id].Verification
	fits := v.Status == VerificationPending
	switch e := e.(type) {
	case VerificationAttemptFailed:
		fits = fits && v.Kind == EvidenceMicroDeposits && v.Remaining(e.Named) > 0
	case MethodVerified:
		fits = fits && v.Kind != "" && v.Kind == e.Kind
	}
	if !fits {
		return promiseEvidence, string(id)
	}
	return "", ""
}

// contradictsRest is for what can only happen after the detach.
func (c *Customer) contradictsRest(id MethodID) (promise, detail string) {
	m := c.Methods[id]
	switch {
	case m == nil:
		return promiseKnown, string(id)
	case m.Attached() || m.GatewayDetach != "":
		return promiseLetGo, string(id)
	default:
		return "", ""
	}
}

// contradictsCancel is for what can only happen to what was left open, whatever
// became of its subject.
func (c *Customer) contradictsCancel(e Event) (promise, detail string) {
	var open []LeftOpen
	var since uint64
	switch e := e.(type) {
	case GatewayCanceled:
		m := c.Methods[e.MethodID]
		if m == nil {
			return promiseKnown, string(e.MethodID)
		}
		open, since, detail = m.LeftOpen, e.Since, string(e.MethodID)
	case SetupGatewayCanceled:
		s := c.SetupIntents[e.SetupIntentID]
		if s == nil {
			return promiseIntentKnown, string(e.SetupIntentID)
		}
		open, since, detail = s.LeftOpen, e.Since, string(e.SetupIntentID)
	}
	if !isLeft(open, since) {
		return promiseCanceled, detail
	}
	return "", ""
}

func (c *Customer) contradictsIntent(id SetupIntentID, e Event) (promise, detail string) {
	s := c.SetupIntents[id]
	_, created := e.(SetupIntentCreated)
	switch {
	case created && s != nil:
		return promiseIntentOnce, string(id)
	case !created && s == nil:
		return promiseIntentKnown, string(id)
	case !created && !s.Open():
		return promiseIntentOver, string(id)
	default:
		return "", ""
	}
}

func (c *Customer) contradictsAttach(e MethodAttached) (promise, detail string) {
	switch {
	case c.Methods[e.MethodID] != nil:
		return promiseAttachedOnce, string(e.MethodID)
	case e.Organization != c.Organization || e.Customer != c.ID:
		return promiseOwnStream, string(e.MethodID) + " belongs to another customer"
	case e.MethodID == "":
		return promiseKnown, "without an id"
	default:
		return "", ""
	}
}

// contradictsLife is for what can only happen to a method between its attach and
// its detach.
func (c *Customer) contradictsLife(id MethodID) (promise, detail string) {
	m := c.Methods[id]
	switch {
	case m == nil:
		return promiseKnown, string(id)
	case !m.Attached():
		return promiseTerminal, string(id)
	default:
		return "", ""
	}
}

func (c *Customer) contradictsDefault(e DefaultChanged) (promise, detail string) {
	if e.From != c.Default || e.From == e.To {
		return promiseOneDefault, "from " + string(e.From) + " to " + string(e.To)
	}
	if e.To == "" {
		return "", ""
	}
	return c.contradictsLife(e.To)
}

func (o *Organization) contradiction(e Event) (promise, detail string) {
	switch e := e.(type) {
	case OrganizationCreated:
		if o.Mode != "" {
			return promiseModeOnce, e.Organization
		}
		if e.Organization != o.ID {
			return promiseOwnStream, e.Organization
		}
	case KeyCreated:
		if _, known := o.Keys[e.Key.ID]; known {
			return promiseKeyIssuedOnce, e.Key.ID
		}
	case KeyRevoked:
		if key, known := o.Keys[e.KeyID]; !known || !key.RevokedAt.IsZero() {
			return promiseKeyRevoked, e.KeyID
		}
	case TestClockSet:
		if e.Now.Before(o.Clock) {
			return promiseClockForward, o.ID
		}
	case OrganizationUpdated, CommandAccepted:
	default:
		return promiseOwnStream, "not an event of an organization"
	}
	return "", ""
}

func (s *Claim) contradiction(e Event) (promise, detail string) {
	switch e := e.(type) {
	case SubscriptionClaimed:
		if s.Customer != "" || e.Subscription != s.ID {
			return promiseClaimOnce, e.Subscription
		}
	case CommandAccepted:
	default:
		return promiseOwnStream, "not an event of a subscription"
	}
	return "", ""
}
