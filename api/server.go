// Package api is the HTTP side of the ledger: the calls under /v1, in JSON, with
// API keys, and what it takes to operate them (/healthz, /readyz, /metrics,
// /openapi.json, /docs).
//
// Every request goes one way. The route table (routes.go) names a handler and the
// scope it needs; run (call.go) gives the request an id, finds out whose key it
// carries, and screens what it brought along; the handler reads from the views or
// executes one command on the ledger; an error becomes one problem answer
// (errors.go). Echo is the router and stays in this package.
//
// The organization comes only from the credential. What belongs to another one
// answers exactly as what does not exist.
package api

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/projections"
)

// Options are the parts of a Server.
type Options struct {
	Ledger *eventstore.Ledger // required
	Views  *projections.Views // required; Run must be running elsewhere
	// Gateways by the name that a request gives as provider. DefaultGateway is
	// the one for requests that name none; it must be among them.
	Gateways       map[string]gateway.Gateway
	DefaultGateway string
	// TestGateways names the gateways that only test organizations may use; for
	// the key of a live one they are forbidden.
	TestGateways []string
	Secrets      Secrets // required
	// Worker does at once what a command asks of a gateway; whatever it cannot do
	// in time stays on its list. nil: everything stays there, for another process.
	Worker *projections.Worker
	// PublicURL is where buyers and providers reach this server, without a slash
	// at its end: https://pay.example.com. "": approvals have no way back here.
	PublicURL string
	// WebhookSecrets returns what the webhooks of a gateway are signed with for an
	// organization, "" when there are none. nil: webhooks are refused.
	WebhookSecrets func(gateway, organization string) string
	// RawCards lets card numbers through to the default gateway.
	RawCards bool

	Logger *slog.Logger     // nil: nothing is logged
	Now    func() time.Time // nil: time.Now
	NewID  func() uuid.UUID // version 7; nil: uuid.NewV7
	Random io.Reader        // of API keys; nil: crypto/rand

	// DevKey grants every scope on the test organization DevOrganization. "": there
	// is none. It is for `serve --dev` only.
	DevKey string

	RateLimit   RateLimit     // per API key; zero: none
	MaxMethods  int           // attached methods per customer; 0: 1000
	WaitTimeout time.Duration // how long a read waits for the views; 0: 2 s
	// AnswerTimeout ends what a write still waits for: gateways, the store, others'
	// commands on the same stream. An append that has begun goes on, so that the answer
	// can take one append longer. 0: 20 s more than WaitTimeout.
	AnswerTimeout time.Duration

	// Freshness tells how far the views are behind the log. nil: never.
	Freshness func() Freshness
	// MaxLag is how far the views may be behind for their word on an API key to
	// count; beyond it the log is asked. 0: 10 s.
	MaxLag time.Duration

	// Ready tells what /readyz shall report beside the views. nil: nothing.
	Ready func() []Check
	// Metrics serves /metrics. nil: it is not served here.
	Metrics http.Handler
	// Registerer takes the metrics of the requests. nil: none are kept.
	Registerer prometheus.Registerer

	Version string // of the program; shown by /healthz
}

// DevOrganization is the organization that Options.DevKey belongs to.
const DevOrganization = "demo"

// Freshness is what is known of the views' delay.
type Freshness struct {
	// Behind is the age of the newest moment as of which the views are known to
	// show all of the log.
	Behind time.Duration
	// CutOff: the log did not answer when it was last asked.
	CutOff bool
}

// Check is one line of /readyz.
type Check struct {
	Name   string // e.g. store, projection.customers, nats
	OK     bool
	Detail string // for people
	// Advisory: reported, but not OK does not make the server unready.
	Advisory bool
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = func() uuid.UUID { return uuid.Must(uuid.NewV7()) }
	}
	if o.MaxMethods == 0 {
		o.MaxMethods = 1000
	}
	if o.WaitTimeout == 0 {
		o.WaitTimeout = 2 * time.Second
	}
	if o.AnswerTimeout == 0 {
		o.AnswerTimeout = o.WaitTimeout + 20*time.Second
	}
	if o.MaxLag == 0 {
		o.MaxLag = 10 * time.Second
	}
	return o
}

// Server answers the API. It is safe for concurrent use.
type Server struct {
	Options
	echo     *echo.Echo
	routes   []*route
	document []byte // /openapi.json
	limits   *limits
	keyMACs  *keyMACs
	metrics  *metrics
	stray    *route // stands for requests that no route takes
	zones    sync.Map
	testOnly map[string]bool
}

// New makes a Server. It refuses options that do not fit together.
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	if o.Ledger == nil || o.Views == nil || len(o.Secrets.APIKeys) == 0 {
		return nil, errors.New("api: Ledger, Views and Secrets are required")
	}
	if _, ok := o.Gateways[o.DefaultGateway]; !ok {
		return nil, fmt.Errorf("api: the default gateway %q is not among the gateways", o.DefaultGateway)
	}
	s := &Server{Options: o, limits: newLimits(o.RateLimit, o.Now), keyMACs: newKeyMACs(o.Secrets), metrics: newMetrics(o.Registerer), testOnly: map[string]bool{}}
	for _, name := range o.TestGateways {
		s.testOnly[name] = true
	}
	book, err := newBook(routes(o.Metrics != nil))
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	s.routes = book.routes
	if s.document, err = book.document(); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	s.stray = &route{path: "none", scope: scopePublic}
	s.echo = s.router()
	return s, nil
}

// Handler answers HTTP requests. The http.Server around it sets the time limits
// and the limit of the header block.
func (s *Server) Handler() http.Handler { return s.echo }

// router registers every route; HEAD goes with GET.
func (s *Server) router() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = func(err error, c echo.Context) { s.run(c, s.stray, routerRefusal(err)) }
	for _, r := range s.routes {
		r.observed = s.metrics.route(r)
		handler := func(c echo.Context) error {
			s.run(c, r, nil)
			return nil
		}
		e.Add(r.method, r.path, handler)
		if r.clientSide {
			e.Add(http.MethodOptions, r.path, handler)
		}
		if r.method == http.MethodGet {
			e.Add(http.MethodHead, r.path, handler)
		}
	}
	s.stray.observed = s.metrics.route(s.stray)
	return e
}

// routerRefusal gives the router's own errors their codes.
func routerRefusal(err error) error {
	var routed *echo.HTTPError
	switch {
	case !errors.As(err, &routed):
		return err
	case routed.Code == http.StatusNotFound:
		return domain.Refuse(codeNotFound, "no call has this path")
	case routed.Code == http.StatusMethodNotAllowed:
		return domain.Refuse(codeMethodNotAllowed, "this path takes the methods in Allow")
	default:
		return err
	}
}
