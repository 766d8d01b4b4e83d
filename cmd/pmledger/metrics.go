package main

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pmledger/pmledger/eventstore"
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
	truth *truth
	bus   *bus
}

// sample is one value that gauges reports.
type sample struct {
	name, help string
	value      float64
	projection string // "" for a value without labels
}

// Describe sends nothing: which projections there are shows at a scrape.
func (g gauges) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (g gauges) Collect(to chan<- prometheus.Metric) {
	for _, s := range g.samples() {
		var labels []string
		var values []string
		if s.projection != "" {
			labels, values = []string{"projection"}, []string{s.projection}
		}
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc("pmledger_"+s.name, s.help, labels, nil), prometheus.GaugeValue, s.value, values...)
	}
}

func (g gauges) samples() []sample {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	head, err := g.truth.store.Head(ctx)
	samples := []sample{
		{name: "log_available", help: "1 while the log can be read.", value: number(err == nil)},
		{name: "log_head_position", help: "Position of the log's last record.", value: float64(head)},
		{name: "storage_full", help: "1 while writes are refused because the volume has less than min-free.", value: number(g.truth.store.Gate().Check() != nil)},
	}
	for _, s := range g.bus.views.Status() {
		samples = append(samples,
			sample{"projection_position", "Position the projection has applied.", float64(s.Position), s.Projection},
			sample{"projection_lag", "Positions between the projection and the log's head.", float64(behind(head, s.Position)), s.Projection},
			sample{"projection_halted", "1 when the projection has stopped for good; the log says why.", number(s.Halted != nil), s.Projection})
	}
	return append(samples, g.publisher()...)
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
		{name: "publisher_published", help: "Events stored by this process since it started.", value: float64(s.Published)},
		{name: "publisher_lag_events", help: "Events that are not published yet, 1000 at most.", value: float64(lag)},
		{name: "publisher_connected", help: "1 while connected to NATS.", value: number(s.Connected)},
		{name: "publisher_standby", help: "1 while another process publishes.", value: number(s.Standby)},
		{name: "publisher_halted", help: "1 when publishing has stopped for good; the log says why.", value: number(s.Halted != nil)},
		{name: "publisher_rebuilds", help: "Rebuilds of a damaged stream since the start.", value: float64(s.Rebuilds)},
		{name: "publisher_last_success_timestamp_seconds", help: "When NATS last acknowledged an event or was found up to date.", value: seconds(s.LastSuccess)},
	}
	if g.bus.server != nil {
		samples = append(samples, sample{name: "nats_restarts", help: "Restarts of the embedded NATS server after a failure.", value: float64(g.bus.server.Restarts())})
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

// behind is how far a position lies before the head; a head read earlier than the
// position may already be behind it.
func behind(head, p eventstore.Position) eventstore.Position {
	if p >= head {
		return 0
	}
	return head - p
}
