package main

import (
	"context"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections"
)

// lagLimit bounds how many unpublished events a scrape counts.
const lagLimit = 1000

// newRegistry holds what the process says about itself.
func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	b := thisBuild()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pmledger_build_info", Help: "1, with the build as labels.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "go": b.Go},
	})
	info.Set(1)
	registry.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

func metricsHandler(registry *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// gauges reads the state of log, views and bus at each scrape.
type gauges struct {
	truth  *truth
	bus    *bus
	fresh  *freshness
	worker *projections.Worker
	clock  *projections.ExpiryClock
}

// sample is one value that gauges reports. Those whose name ends in _total count
// from the start of the process.
type sample struct {
	name, help   string
	value        float64
	label, which string // "" for a value without labels
}

// Describe sends nothing: which projections there are shows at a scrape.
func (g gauges) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (g gauges) Collect(to chan<- prometheus.Metric) {
	for _, s := range g.samples() {
		var labels []string
		var values []string
		if s.label != "" {
			labels, values = []string{s.label}, []string{s.which}
		}
		kind := prometheus.GaugeValue
		if strings.HasSuffix(s.name, "_total") {
			kind = prometheus.CounterValue
		}
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc("pmledger_"+s.name, s.help, labels, nil), kind, s.value, values...)
	}
}

func (g gauges) samples() []sample {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	head, err := g.truth.store.Head(ctx)
	samples := []sample{
		{name: "log_available", help: "1 while the log can be read.", value: number(err == nil)},
		{name: "log_head_position", help: "Position of the log's last record.", value: float64(head)},
		{name: "storage_full", help: "1 while writes are refused (with a cluster: while the views pause) because the volume has less than min-free.", value: number(g.truth.gate.Check() != nil)},
		{name: "views_behind_seconds", help: "Age of what the views are known to show of the log; +Inf before they have caught up once.", value: age(g.fresh.state().Behind)},
	}
	if free, err := freeSpace(g.truth.gate.Dir); err == nil {
		samples = append(samples, sample{name: "storage_free_bytes", help: "Free space on the volume of the data folder.", value: float64(free)})
	}
	for _, s := range g.bus.views.Status() {
		samples = append(samples,
			sample{"projection_position", "Position the projection has applied.", float64(s.Position), "projection", s.Projection},
			sample{"projection_lag", "Positions between the projection and the log's head.", float64(behind(head, s.Position)), "projection", s.Projection},
			sample{"projection_halted", "1 when the projection has stopped for good; the log says why.", number(s.Halted != nil), "projection", s.Projection})
	}
	return slices.Concat(samples, g.due(), g.publisher())
}

// due is the work that nobody asks for.
func (g gauges) due() []sample {
	clock, waiting := g.clock.Status(), 0.0
	if !clock.DueSince.IsZero() {
		waiting = time.Since(clock.DueSince).Seconds()
	}
	samples := []sample{
		{name: "clock_due_seconds", help: "How long there has always been something due by time; 0 when all of it is done.", value: waiting},
		{name: "clock_failing", help: "What is due by time and could not be done; it is tried again.", value: float64(clock.Failing)},
		{name: "clock_done_total", help: "Commands executed because something was due by time.", value: float64(clock.Done)},
		{name: "gateway_left_open_total", help: "Verifications and setups that stay open at a gateway because it could not be told; the log says which.", value: float64(g.worker.Uncanceled())},
	}
	backlog := g.worker.Backlog()
	for _, provider := range slices.Sorted(maps.Keys(backlog)) {
		samples = append(samples,
			sample{"gateway_work", "Work for the gateway on the list, with what requests of the last 15 s are doing.", float64(backlog[provider].Items), "provider", provider},
			sample{"gateway_work_failing", "Work for the gateway that was tried and is tried again.", float64(backlog[provider].Failing), "provider", provider})
	}
	return samples
}

func (g gauges) publisher() []sample {
	s := g.bus.publisher.Status()
	lag, err := g.bus.publisher.Lag(lagLimit)
	if err != nil {
		lag = lagLimit
	}
	samples := []sample{
		{name: "publisher_position", help: "Position of the last event in the stream.", value: float64(s.Position)},
		{name: "publisher_sequence", help: "Sequence of the last event in the stream.", value: float64(s.Sequence)},
		{name: "publisher_published_total", help: "Events stored by this process.", value: float64(s.Published)},
		{name: "publisher_lag_events", help: "Events that are not published yet, 1000 at most.", value: float64(lag)},
		{name: "publisher_connected", help: "1 while connected to NATS.", value: number(s.Connected)},
		{name: "publisher_standby", help: "1 while another process publishes.", value: number(s.Standby)},
		{name: "publisher_halted", help: "1 when publishing has stopped for good; the log says why.", value: number(s.Halted != nil)},
		{name: "publisher_conflicts_total", help: "Writes that the stream refused because another process was faster.", value: float64(s.Conflicts)},
		{name: "publisher_failing", help: "1 while the last attempt to publish failed; it is tried again.", value: number(s.LastError != nil)},
		{name: "publisher_rebuilds_total", help: "Rebuilds of a damaged stream.", value: float64(s.Rebuilds)},
		{name: "publisher_last_success_timestamp_seconds", help: "When NATS last acknowledged an event or was found up to date.", value: seconds(s.LastSuccess)},
	}
	if g.bus.server != nil {
		samples = append(samples, sample{name: "nats_restarts_total", help: "Restarts of the embedded NATS server after a failure.", value: float64(g.bus.server.Restarts())})
	}
	return samples
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func age(d time.Duration) float64 {
	if d == math.MaxInt64 {
		return math.Inf(1)
	}
	return d.Seconds()
}

// behind is how far a position lies before the head; a head read earlier than the
// position may already be behind it.
func behind(head, p eventstore.Position) eventstore.Position {
	if p >= head {
		return 0
	}
	return head - p
}
