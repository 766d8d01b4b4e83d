package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	_ "time/tzdata" // organizations name time zones, and not every machine knows them

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/pmledger/pmledger/api"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections"
)

func (p *program) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the ledger: the HTTP API, the views, the publisher, NATS",
		Long: "Runs the ledger until SIGINT or SIGTERM; then it stops accepting, finishes what runs\n" +
			"and exits with 0. A second signal ends it at once; what was acknowledged is safe.\n\n" +
			"With --dev it serves the test organization \"demo\" and prints a key for it.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.settings(cmd)
			if err != nil {
				return err
			}
			tune()
			return explainLock(s.Config, p.serve(cmd.Context(), s.Config))
		},
	}
}

// gcPercent spends memory on fewer collections: what is marked again and again
// are caches. Measured at 64 clients attaching: 100 costs 290 µs of processor time
// an attach, 300 costs 245 µs and a third more memory. Side by side, 300 costs 1.00
// of the processor time of 200, so the smaller is kept.
const gcPercent = 200

// memoryLimit is the size, in bytes, from which the collector works harder rather
// than let the process grow. Measured with 0.8 M methods attached at full speed:
// 0.5 GiB in use, most of it the NATS server's, and caches of a quarter more.
// GOMEMLIMIT in the environment wins.
const memoryLimit = 1280 << 20

// tune sets the runtime up for a process that syncs all the time, where the
// environment does not: the collector, and twice as many threads as there are cores. With
// one thread per core a sync that has returned waits for milliseconds until a
// thread takes it up. Measured on 2 cores with 64 clients attaching: 2 threads
// 2 900/s at p99 150 ms, 4 threads 5 100/s at p99 37 ms, 8 threads no better.
// It does so once: a test may serve many times in its own process.
var tune = sync.OnceFunc(func() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
})

// serve starts the parts in the order in which they need each other, waits for
// ctx or for a part that fails, and stops them in the opposite order.
func (p *program) serve(ctx context.Context, c Config) (err error) {
	log := newLogger(p.stderr, c.Level())
	closing := func(stop func() error) { err = errors.Join(err, stop()) }

	t, err := openTruth(ctx, c, log)
	if err != nil {
		return err
	}
	defer closing(t.Close)
	registry := newRegistry()
	ledger := t.ledgerOn(measureStore(t.store, registry))
	devKey, err := demoKey(ctx, c, ledger)
	if err != nil {
		return err
	}
	views, err := openViews(ctx, c, t, log, projections.Options{})
	if err != nil {
		return err
	}
	defer closing(views.Close)
	b, err := openBus(c, t, views, log)
	if err != nil {
		return err
	}
	defer b.close()

	parts := newActors(log)
	defer closing(parts.stop)
	parts.start("views", views.Run)
	parts.start("publisher", b.publisher.Run)
	if err := b.check(ctx, c); err != nil {
		return err
	}
	parts.start("flush", func(ctx context.Context) error { <-ctx.Done(); b.flush(t); return nil })

	providers, err := openGateways(c, t.secrets)
	if err != nil {
		return err
	}
	defer closing(providers.Close)
	fresh := &freshness{head: t.store.Head, reached: views.Position, most: c.MaxLag, now: time.Now}
	parts.start("freshness", fresh.run)
	providers.byName = measureGateways(providers.byName, registry)
	worker, clock := startWork(parts, c, t, ledger, views, providers, log)
	registry.MustRegister(gauges{truth: t, bus: b, fresh: fresh, worker: worker, clock: clock})
	handler, err := newAPI(c, t, ledger, b, fresh, providers, worker, devKey, registry, log)
	if err != nil {
		return err
	}
	at, err := p.listenAll(ctx, c, parts, handler, registry, log)
	if err != nil {
		return err
	}
	at.NATS = b.url(c)
	p.greet(c, at, devKey, log)
	err = parts.wait(ctx)
	if err != nil {
		log.Error("a part has failed; stopping", "cause", err)
	} else {
		log.Info("stopping: no new requests, what runs is finished")
	}
	return err
}

// startWork starts what happens without a request: the questions to gateways, and
// what is due by time.
func startWork(parts *actors, c Config, t *truth, ledger *eventstore.Ledger, views *projections.Views, providers *gateways, log *slog.Logger) (*projections.Worker, *projections.ExpiryClock) {
	policy := projections.LedgerPolicy(ledger, time.Now, c.MaxMethods)
	worker := projections.NewWorker(projections.WorkerOptions{
		Views: views, Ledger: ledger, Gateways: providers.byName, Policy: policy, ReturnURL: t.secrets.ReturnURL(c.publicURL()), Logger: log,
	})
	clock := projections.NewExpiryClock(projections.ClockOptions{Views: views, Ledger: ledger, Policy: policy, Logger: log})
	parts.start("worker", worker.Run)
	parts.start("expiry clock", clock.Run)
	return worker, clock
}

// newAPI wires the HTTP side.
func newAPI(c Config, t *truth, ledger *eventstore.Ledger, b *bus, fresh *freshness, providers *gateways, worker *projections.Worker, devKey string, registry *prometheus.Registry, log *slog.Logger) (*api.Server, error) {
	o := api.Options{
		Ledger: ledger, Views: b.views, Secrets: t.secrets, DevKey: devKey,
		Gateways: providers.byName, TestGateways: []string{kindSandbox}, DefaultGateway: c.Gateway,
		Worker: worker, PublicURL: c.publicURL(), WebhookSecrets: providers.webhookSecret, RawCards: c.RawCards,
		Logger: log, Registerer: registry, Version: thisBuild().Version,
		RateLimit:  api.RateLimit{PerSecond: c.RateLimit, Burst: c.RateBurst},
		MaxMethods: c.MaxMethods, WaitTimeout: c.WaitTimeout,
		Freshness: fresh.state, MaxLag: c.MaxLag,
		Ready: func() []api.Check { return []api.Check{t.ready(), fresh.ready(), b.ready()} },
	}
	if c.Dev {
		o.Metrics = metricsHandler(registry)
	}
	return api.New(o)
}

// ready says whether events are being published. It never makes the server
// unready: no answer waits for NATS.
func (b *bus) ready() api.Check {
	s := b.publisher.Status()
	check := api.Check{Name: "nats", Advisory: true, OK: s.Halted == nil && s.LastError == nil && s.Connected, Detail: "published up to " + s.Position.String()}
	switch {
	case s.Halted != nil:
		check.Detail += "; stopped: " + s.Halted.Error()
	case s.LastError != nil:
		check.Detail += "; trying again: " + s.LastError.Error()
	case s.Standby:
		check.Detail += "; another process publishes"
	}
	return check
}

// addresses are where the server can be reached; "" where it cannot.
type addresses struct{ HTTP, Admin, NATS string }

// listenAll opens the listeners and starts the parts that serve them.
func (p *program) listenAll(ctx context.Context, c Config, parts *actors, handler *api.Server, registry *prometheus.Registry, log *slog.Logger) (addresses, error) {
	var at addresses
	var admin net.Listener
	var err error
	if c.Admin != "" {
		if admin, err = listen(ctx, "admin", c.Admin); err != nil {
			return at, err
		}
		at.Admin = "http://" + admin.Addr().String()
	}
	l, err := listen(ctx, "http", c.HTTP)
	if err != nil {
		if admin != nil {
			err = errors.Join(err, admin.Close())
		}
		return at, err
	}
	at.HTTP = "http://" + l.Addr().String()
	if c.TLSCert != "" {
		at.HTTP = "https://" + l.Addr().String()
	}
	if admin != nil {
		parts.start("admin", func(ctx context.Context) error { return serveAdmin(ctx, admin, metricsHandler(registry)) })
	}
	parts.start("http", func(ctx context.Context) error { return serveHTTP(ctx, l, handler.Handler(), c, log) })
	return at, nil
}
