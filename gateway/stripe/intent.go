package stripe

import (
	"context"
	"net/http"
	"regexp"
	"time"

	stripego "github.com/stripe/stripe-go/v82"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

// What the gateway writes into the metadata of what it makes at Stripe.
const (
	metaOrganization = "pmledger_organization"
	metaCustomer     = "pmledger_customer"
	metaPurpose      = "pmledger_purpose" // of a SetupIntent: verify or setup
	metaRequest      = "pmledger_request" // the request that a SetupIntent serves
)

const (
	purposeVerify = "verify"
	purposeSetup  = "setup"
)

// debits are the kinds of instruments whose setup records a mandate.
var debits = map[stripego.PaymentMethodType]bool{
	stripego.PaymentMethodTypeUSBankAccount: true, stripego.PaymentMethodTypeSEPADebit: true,
	stripego.PaymentMethodTypeAUBECSDebit: true, stripego.PaymentMethodTypeACSSDebit: true, stripego.PaymentMethodTypeBACSDebit: true,
}

// intent makes a SetupIntent for pm and confirms it, once per key. What it
// returns is not at work any more.
func (g *Gateway) intent(ctx context.Context, req gateway.Request, op, purpose string, pm *stripego.PaymentMethod, s gateway.Setup) (*stripego.SetupIntent, error) {
	customer, err := g.customer(ctx, req, pm)
	if err != nil {
		return nil, err
	}
	params := &stripego.SetupIntentParams{
		PaymentMethod: stripego.String(pm.ID), PaymentMethodTypes: []*string{stripego.String(string(pm.Type))},
		Confirm: stripego.Bool(true), Usage: stripego.String(s.Usage), Customer: customer,
		Expand: []*string{stripego.String("payment_method"), stripego.String("mandate")},
		Metadata: map[string]string{
			metaOrganization: req.Organization, metaCustomer: req.Customer, metaPurpose: purpose, metaRequest: op + "-" + mark(req),
		},
	}
	if s.ReturnURL != "" {
		params.ReturnURL = stripego.String(s.ReturnURL)
	}
	if debits[pm.Type] {
		// The holder accepted the mandate where they gave their account; the
		// ledger was not there, so it states no address or browser.
		params.MandateData = &stripego.SetupIntentMandateDataParams{
			CustomerAcceptance: &stripego.SetupIntentMandateDataCustomerAcceptanceParams{
				Type: stripego.MandateCustomerAcceptanceTypeOffline, Offline: &stripego.SetupIntentMandateDataCustomerAcceptanceOfflineParams{},
			},
		}
	}
	q := question{req: req, op: op, method: http.MethodPost, path: "/v1/setup_intents", params: params}
	intent := &stripego.SetupIntent{}
	err = g.ask(ctx, q, intent)
	if replayedFailure(err) {
		intent, err = g.recover(ctx, q, pm)
	}
	if err != nil {
		return nil, err
	}
	return g.settled(ctx, req, intent)
}

// replayedFailure: Stripe repeats even an answer of 500 to the same key, for a
// day; so such a repeat finds nothing out.
func replayedFailure(err error) bool {
	e := answerOf(err)
	return e != nil && e.replayed && e.Status >= 500
}

// recover finds what became of a SetupIntent whose creation Stripe failed to
// answer: it is there, with the request's mark, or it is made under another key.
func (g *Gateway) recover(ctx context.Context, q question, pm *stripego.PaymentMethod) (*stripego.SetupIntent, error) {
	all, err := g.intentsOf(ctx, q.req, pm.ID)
	if err != nil {
		return nil, err
	}
	for _, intent := range all {
		if intent.Metadata[metaRequest] == q.op+"-"+mark(q.req) {
			return g.reread(ctx, q.req, intent.ID)
		}
	}
	q.op += "-again"
	intent := &stripego.SetupIntent{}
	return intent, g.ask(ctx, q, intent)
}

// intentsOf lists the intents of a payment method, the newest 100.
func (g *Gateway) intentsOf(ctx context.Context, req gateway.Request, token string) ([]*stripego.SetupIntent, error) {
	params := &stripego.SetupIntentListParams{PaymentMethod: stripego.String(token)}
	params.Limit = stripego.Int64(100)
	list := &stripego.SetupIntentList{}
	err := g.ask(ctx, question{req: req, method: http.MethodGet, path: "/v1/setup_intents", params: params}, list)
	return list.Data, err
}

// settled reads an intent again that was still at work when Stripe answered: the
// answer to a repeat is the first one, however old.
func (g *Gateway) settled(ctx context.Context, req gateway.Request, intent *stripego.SetupIntent) (*stripego.SetupIntent, error) {
	if intent.Status != stripego.SetupIntentStatusProcessing {
		return intent, nil
	}
	now, err := g.reread(ctx, req, intent.ID)
	if err == nil && now.Status == stripego.SetupIntentStatusProcessing {
		return nil, stillAtWork()
	}
	return now, err
}

func stillAtWork() error {
	return &gateway.Error{Kind: gateway.UnknownOutcome, Message: "the payment provider is still at work on this request; repeat it"}
}

var intentForm = regexp.MustCompile(`^seti_[A-Za-z0-9_]{1,200}$`)

func (g *Gateway) reread(ctx context.Context, req gateway.Request, id string) (*stripego.SetupIntent, error) {
	if !intentForm.MatchString(id) {
		return nil, unknownIntent()
	}
	params := &stripego.SetupIntentParams{Expand: []*string{stripego.String("payment_method"), stripego.String("mandate")}}
	intent := &stripego.SetupIntent{}
	return intent, asIntent(g.ask(ctx, question{req: req, method: http.MethodGet, path: "/v1/setup_intents/" + id, params: params}, intent))
}

// asIntent: what is unknown here is not the token.
func asIntent(err error) error {
	if err != nil && gateway.KindOf(err) == gateway.UnknownToken {
		return unknownIntent()
	}
	return err
}

func unknownIntent() error {
	return &gateway.Error{Kind: gateway.UnknownToken, Message: "the payment provider does not know what was begun for this payment method"}
}

// notReady is why an intent that stopped did not succeed.
func notReady(intent *stripego.SetupIntent) error {
	if intent.LastSetupError == nil {
		return &gateway.Error{Kind: gateway.Declined, Message: "the payment provider gave this payment method up"}
	}
	cause := &answerError{
		Type: stripego.ErrorType(word(string(intent.LastSetupError.Type))), Code: stripego.ErrorCode(word(string(intent.LastSetupError.Code))),
		Decline: stripego.DeclineCode(word(string(intent.LastSetupError.DeclineCode))),
	}
	return &gateway.Error{Kind: gateway.Declined, Message: "the payment provider declined this payment method" + inBrackets(cause), Err: cause}
}

// actionOf is what the holder has to do. The ledger keeps and publishes it, so
// the intent's client secret is not in it: whoever runs Stripe's SDK gets it from
// Stripe, by the intent's id.
func actionOf(intent *stripego.SetupIntent) *domain.NextAction {
	todo := intent.NextAction
	switch {
	case todo == nil:
		return nil
	case todo.RedirectToURL != nil && todo.RedirectToURL.URL != "":
		return &domain.NextAction{Type: domain.ActionRedirect, RedirectURL: todo.RedirectToURL.URL, RedirectTarget: "any"}
	case todo.VerifyWithMicrodeposits != nil:
		return &domain.NextAction{
			Type: domain.ActionMicroDeposits, ArrivalDate: dateOf(todo.VerifyWithMicrodeposits.ArrivalDate),
			MicroDepositType: namedOf(todo.VerifyWithMicrodeposits),
		}
	default:
		return &domain.NextAction{Type: domain.ActionProviderSDK, SDKData: `{"provider":"stripe","setup_intent":"` + word(intent.ID) + `"}`}
	}
}

func dateOf(unix int64) string {
	if unix <= 0 {
		return ""
	}
	return time.Unix(unix, 0).UTC().Format(time.DateOnly)
}

func namedOf(d *stripego.SetupIntentNextActionVerifyWithMicrodeposits) domain.Named {
	if string(d.MicrodepositType) == string(domain.NamedDescriptor) {
		return domain.NamedDescriptor
	}
	return domain.NamedAmounts
}
