package stripe

import (
	"encoding/json"
	"net/http"

	stripego "github.com/stripe/stripe-go/v82"
	"github.com/stripe/stripe-go/v82/webhook"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

// The name that payment_method.automatically_updated had before.
const cardAutomaticallyUpdated = "payment_method.card_automatically_updated"

// Notices reads an event of Stripe's. Those that it makes notices of:
//
//	payment_method.automatically_updated   Replacement
//	payment_method.updated                 Facts
//	payment_method.detached                Detached
//	setup_intent.succeeded                 Verified or Setup
//	setup_intent.requires_action           Setup, unless it is about a verification
//	setup_intent.setup_failed, .canceled   Unverified or SetupFailed
//	mandate.updated                        Mandate
//
// A webhook endpoint may send others too; they give no notices. SetupIntents that
// this gateway did not make give notices of a setup.
func (g *Gateway) Notices(header map[string][]string, body []byte, secret string) ([]gateway.Notice, error) {
	if secret == "" {
		return nil, &gateway.Error{Kind: gateway.Declined, Message: "no secret is configured for the payment provider's webhooks"}
	}
	if err := webhook.ValidatePayloadWithTolerance(body, http.Header(header).Get("Stripe-Signature"), secret, g.tolerance); err != nil {
		return nil, &gateway.Error{Kind: gateway.Declined, Message: "the webhook's signature is wrong or too old", Err: err}
	}
	var event struct {
		ID   string             `json:"id"`
		Type stripego.EventType `json:"type"`
		Data struct {
			Object json.RawMessage `json:"object"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &event); err != nil || event.ID == "" || event.Type == "" {
		return nil, unreadable()
	}
	n := gateway.Notice{ID: event.ID}
	told, err := read(&n, event.Type, event.Data.Object)
	if err != nil || !told {
		return nil, err
	}
	return []gateway.Notice{n}, nil
}

func unreadable() error {
	return &gateway.Error{Kind: gateway.Unsupported, Message: "the webhook is not an event of Stripe's"}
}

// read reads the object of an event. It tells whether there is anything to tell.
func read(n *gateway.Notice, event stripego.EventType, object json.RawMessage) (told bool, err error) {
	switch event {
	case stripego.EventTypePaymentMethodAutomaticallyUpdated, cardAutomaticallyUpdated,
		stripego.EventTypePaymentMethodUpdated, stripego.EventTypePaymentMethodDetached:
		pm := &stripego.PaymentMethod{}
		if json.Unmarshal(object, pm) != nil || pm.ID == "" {
			return false, unreadable()
		}
		return methodNotice(n, event, pm), nil
	case stripego.EventTypeSetupIntentSucceeded, stripego.EventTypeSetupIntentRequiresAction,
		stripego.EventTypeSetupIntentSetupFailed, stripego.EventTypeSetupIntentCanceled:
		intent := &stripego.SetupIntent{}
		if json.Unmarshal(object, intent) != nil || intent.ID == "" {
			return false, unreadable()
		}
		return intentNotice(n, event, intent), nil
	case stripego.EventTypeMandateUpdated:
		m := &stripego.Mandate{}
		if json.Unmarshal(object, m) != nil || m.ID == "" {
			return false, unreadable()
		}
		n.Mandate = mandateOf(m)
		if m.PaymentMethod != nil {
			n.Token = m.PaymentMethod.ID
		}
		return n.Mandate != nil && n.Token != "", nil
	}
	return false, nil
}

func methodNotice(n *gateway.Notice, event stripego.EventType, pm *stripego.PaymentMethod) bool {
	n.Token = pm.ID
	if event == stripego.EventTypePaymentMethodDetached {
		n.Detached = true
		return true
	}
	i, err := instrumentOf(pm)
	switch {
	case err != nil:
		return false
	case event == stripego.EventTypePaymentMethodUpdated:
		n.Facts = &i
		return true
	case i.Card == nil:
		return false
	}
	n.Replacement = &domain.Replacement{Card: *i.Card, Fingerprint: i.Fingerprint}
	return true
}

func intentNotice(n *gateway.Notice, event stripego.EventType, intent *stripego.SetupIntent) bool {
	n.Reference = intent.ID
	if intent.PaymentMethod != nil {
		n.Token = intent.PaymentMethod.ID
	}
	verifies := intent.Metadata[metaPurpose] == purposeVerify
	switch {
	case event == stripego.EventTypeSetupIntentSucceeded && verifies:
		n.Verified = evidenceIn(intent)
	case event == stripego.EventTypeSetupIntentSucceeded:
		n.Setup = &gateway.SetupAnswer{Reference: intent.ID}
	case event == stripego.EventTypeSetupIntentRequiresAction:
		n.Setup = &gateway.SetupAnswer{Reference: intent.ID, NextAction: actionOf(intent)}
		return !verifies && n.Setup.NextAction != nil
	case intent.CancellationReason == stripego.SetupIntentCancellationReasonDuplicate:
		return false // by this gateway, to make room for another
	case verifies:
		n.Unverified = causeOf(intent)
	case event == stripego.EventTypeSetupIntentCanceled:
		n.SetupFailed = &domain.SetupError{Code: domain.CodeGatewayDeclined, Message: "the setup was canceled at the payment provider"}
	default:
		n.SetupFailed = &domain.SetupError{Code: domain.CodeGatewayDeclined, Message: messageOf(notReady(intent))}
	}
	return true
}

// evidenceIn: a bank account that succeeds after Verify was answered does so by
// micro-deposits.
func evidenceIn(intent *stripego.SetupIntent) domain.Evidence {
	for _, kind := range intent.PaymentMethodTypes {
		if kind == string(stripego.PaymentMethodTypeUSBankAccount) {
			return domain.EvidenceMicroDeposits
		}
	}
	return domain.EvidenceCardAuth
}

func causeOf(intent *stripego.SetupIntent) domain.VerificationCause {
	if intent.LastSetupError == nil {
		return domain.CauseDeclined
	}
	switch intent.LastSetupError.Code {
	case stripego.ErrorCodePaymentMethodMicrodepositVerificationAttemptsExceeded:
		return domain.CauseExhausted
	case stripego.ErrorCodePaymentMethodMicrodepositVerificationTimeout:
		return domain.CauseExpired
	default:
		return domain.CauseDeclined
	}
}
