// Package stripe is the gateway to Stripe (https://stripe.com), by its official
// client.
//
// A token is the id of a PaymentMethod (pm_…), as Stripe's own client-side
// libraries make it; card_… and src_… ids that the PaymentMethods API takes work
// too. Verifying a card and setting an instrument up are both a SetupIntent that
// is confirmed at once; that is Stripe's authorization of nothing. It also attaches
// the PaymentMethod to a customer at Stripe, without which it could be used only
// once: the customer it has there already; or the one that the ledger's customer
// is called by, when that name is a Stripe id (cus_ and 14 or more letters and
// digits); or the one that this gateway made earlier for the ledger's customer; or
// a new one. It is found again by its metadata pmledger_organization and
// pmledger_customer.
//
// Stripe says only when it is set up whether an instrument needs its buyer's
// approval, so Lookup never does.
package stripe

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"time"

	stripego "github.com/stripe/stripe-go/v82"

	"github.com/pmledger/pmledger/gateway"
)

// Config is what a gateway to Stripe needs.
type Config struct {
	// Key returns the secret or restricted API key of an organization, or "" when
	// it has none: then its calls are Unavailable. It must be safe for concurrent
	// use; a key that it returns anew is used from the next call on.
	// A restricted key needs to write customers, payment methods and setup
	// intents.
	Key func(organization string) string
	// URL is where the API is; "" is https://api.stripe.com.
	URL string
	// Transport carries the requests; nil is one of the gateway's own.
	Transport http.RoundTripper
	// Tolerance is how old the signature of a webhook may be; 0 is five minutes.
	Tolerance time.Duration
}

// CallTimeout ends a call to Stripe whose context sets no earlier end.
const CallTimeout = 30 * time.Second

// Gateway is Stripe, for any number of organizations. It is safe for concurrent
// use, and keeps nothing but connections.
type Gateway struct {
	key       func(organization string) string
	calls     backend
	tolerance time.Duration
}

var _ gateway.Webhooks = (*Gateway)(nil)

// backend is the one method of Stripe's client that everything goes through.
type backend interface {
	CallRaw(method, path, key string, body []byte, params *stripego.Params, v stripego.LastResponseSetter) error
}

// New returns a gateway to Stripe. It connects with the first call.
func New(c Config) (*Gateway, error) {
	if c.Key == nil {
		return nil, fmt.Errorf("stripe gateway: no API keys are configured")
	}
	if c.URL == "" {
		c.URL = stripego.APIURL
	}
	if u, err := url.Parse(c.URL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("stripe gateway: the URL of the API must be an absolute http or https URL")
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	if c.Tolerance == 0 {
		c.Tolerance = 5 * time.Minute
	}
	client := &http.Client{
		Transport:     discreet{c.Transport},
		Timeout:       CallTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	// No retries of the client's own: the ledger repeats with the same key, and
	// the client would sleep past the end of a context.
	calls := stripego.GetBackendWithConfig(stripego.APIBackend, &stripego.BackendConfig{
		HTTPClient: client, URL: stripego.String(c.URL), MaxNetworkRetries: stripego.Int64(0),
		LeveledLogger: &stripego.LeveledLogger{Level: stripego.LevelNull}, EnableTelemetry: stripego.Bool(false),
	})
	return &Gateway{key: c.Key, calls: calls, tolerance: c.Tolerance}, nil
}

// Lookup retrieves the PaymentMethod.
func (g *Gateway) Lookup(ctx context.Context, req gateway.Request) (gateway.Instrument, error) {
	pm, err := g.method(ctx, req)
	if err != nil {
		return gateway.Instrument{}, err
	}
	return instrumentOf(pm)
}

// Detach detaches the PaymentMethod from its customer at Stripe. One that is not
// attached, or not known, is detached.
func (g *Gateway) Detach(ctx context.Context, req gateway.Request) error {
	if !tokenForm.MatchString(req.Token) {
		return nil
	}
	err := g.ask(ctx, question{
		req: req, op: "detach", method: http.MethodPost, path: "/v1/payment_methods/" + req.Token + "/detach",
	}, &stripego.PaymentMethod{})
	if err == nil || gateway.KindOf(err) == gateway.UnknownToken {
		return nil
	}
	if gateway.KindOf(err) != gateway.Declined {
		return err
	}
	// Stripe refuses to detach what is not attached, with no code of its own.
	pm, lookup := g.method(ctx, req)
	if lookup == nil && (pm.Customer == nil || pm.Customer.ID == "") {
		return nil
	}
	return err
}

// tokenForm is what may stand in a path of the API: everything that Stripe makes.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9_]{1,255}$`)

func (g *Gateway) method(ctx context.Context, req gateway.Request) (*stripego.PaymentMethod, error) {
	if !tokenForm.MatchString(req.Token) {
		return nil, unknownToken()
	}
	pm := &stripego.PaymentMethod{}
	if err := g.ask(ctx, question{req: req, method: http.MethodGet, path: "/v1/payment_methods/" + req.Token}, pm); err != nil {
		return nil, err
	}
	return pm, nil
}
