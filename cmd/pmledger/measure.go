package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/gateway"
)

// measuredStore times the appends of a store.
type measuredStore struct {
	eventstore.Store
	seconds *prometheus.HistogramVec // by outcome
}

// measureStore returns the store with its appends observed.
func measureStore(s eventstore.Store, to prometheus.Registerer) eventstore.Store {
	m := measuredStore{Store: s, seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "pmledger_append_seconds", Help: "Time until the log has answered an append, by outcome.",
		Buckets: []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}, []string{"outcome"})}
	for _, outcome := range []string{"ok", "conflict", "full", "unavailable", "unknown", "error"} {
		m.seconds.WithLabelValues(outcome)
	}
	to.MustRegister(m.seconds)
	return m
}

// Append implements eventstore.Store.
func (m measuredStore) Append(ctx context.Context, stream string, version uint64, records []eventstore.NewRecord) (eventstore.Position, error) {
	began := time.Now()
	p, err := m.Store.Append(ctx, stream, version, records)
	m.seconds.WithLabelValues(appendOutcome(err)).Observe(time.Since(began).Seconds())
	return p, err
}

func appendOutcome(err error) string {
	conflict := (*eventstore.ConflictError)(nil)
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &conflict):
		return "conflict"
	case errors.Is(err, eventstore.ErrFull):
		return "full"
	case errors.Is(err, eventstore.ErrUnavailable):
		return "unavailable"
	case errors.Is(err, eventstore.ErrUnknownOutcome):
		return "unknown"
	}
	return "error"
}

// measuredGateway times the calls of a gateway.
type measuredGateway struct {
	gateway.Gateway
	provider string
	seconds  *prometheus.HistogramVec // by provider, call and outcome
}

// measuredWebhooks is a measuredGateway whose provider sends webhooks.
type measuredWebhooks struct {
	measuredGateway
	hooks gateway.Webhooks
}

// Notices implements gateway.Webhooks. It asks nobody, so it is not timed.
func (m measuredWebhooks) Notices(header map[string][]string, body []byte, secret string) ([]gateway.Notice, error) {
	return m.hooks.Notices(header, body, secret)
}

// measureGateways returns the gateways with their calls observed.
func measureGateways(all map[string]gateway.Gateway, to prometheus.Registerer) map[string]gateway.Gateway {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "pmledger_gateway_call_seconds", Help: "Time until a payment provider has answered, by provider, call and outcome.",
		Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"provider", "call", "outcome"})
	to.MustRegister(seconds)
	measured := make(map[string]gateway.Gateway, len(all))
	for provider, g := range all {
		m := measuredGateway{Gateway: g, provider: provider, seconds: seconds}
		measured[provider] = m
		if hooks, ok := g.(gateway.Webhooks); ok {
			measured[provider] = measuredWebhooks{measuredGateway: m, hooks: hooks}
		}
	}
	return measured
}

func (m measuredGateway) observe(call string, began time.Time, err error) {
	outcome := "ok"
	if err != nil {
		outcome = strings.ReplaceAll(string(gateway.KindOf(err)), " ", "_")
	}
	m.seconds.WithLabelValues(m.provider, call, outcome).Observe(time.Since(began).Seconds())
}

// The calls of gateway.Gateway.

func (m measuredGateway) Lookup(ctx context.Context, req gateway.Request) (i gateway.Instrument, err error) {
	defer func(began time.Time) { m.observe("lookup", began, err) }(time.Now())
	return m.Gateway.Lookup(ctx, req)
}

func (m measuredGateway) Tokenize(ctx context.Context, req gateway.Request, card gateway.RawCard) (token string, i gateway.Instrument, err error) {
	defer func(began time.Time) { m.observe("tokenize", began, err) }(time.Now())
	return m.Gateway.Tokenize(ctx, req, card)
}

func (m measuredGateway) Verify(ctx context.Context, req gateway.Request, i gateway.Instrument) (v gateway.Verification, err error) {
	defer func(began time.Time) { m.observe("verify", began, err) }(time.Now())
	return m.Gateway.Verify(ctx, req, i)
}

func (m measuredGateway) Confirm(ctx context.Context, req gateway.Request, reference string, named gateway.Deposits) (matches bool, err error) {
	defer func(began time.Time) { m.observe("confirm", began, err) }(time.Now())
	return m.Gateway.Confirm(ctx, req, reference, named)
}

func (m measuredGateway) Resend(ctx context.Context, req gateway.Request, reference string) (v gateway.Verification, err error) {
	defer func(began time.Time) { m.observe("resend", began, err) }(time.Now())
	return m.Gateway.Resend(ctx, req, reference)
}

func (m measuredGateway) Setup(ctx context.Context, req gateway.Request, s gateway.Setup) (a gateway.SetupAnswer, err error) {
	defer func(began time.Time) { m.observe("setup", began, err) }(time.Now())
	return m.Gateway.Setup(ctx, req, s)
}

func (m measuredGateway) Cancel(ctx context.Context, req gateway.Request, reference string) (err error) {
	defer func(began time.Time) { m.observe("cancel", began, err) }(time.Now())
	return m.Gateway.Cancel(ctx, req, reference)
}

func (m measuredGateway) Detach(ctx context.Context, req gateway.Request) (err error) {
	defer func(began time.Time) { m.observe("detach", began, err) }(time.Now())
	return m.Gateway.Detach(ctx, req)
}
