package api

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts requests. Labels are route templates, never paths, and never
// organizations. Without a registerer it counts nothing.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(to prometheus.Registerer) *metrics {
	if to == nil {
		return &metrics{}
	}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pmledger_http_requests_total", Help: "Requests answered, by route and status.",
		}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pmledger_http_request_seconds", Help: "Time from the first header to the last byte of the answer.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}, []string{"method", "route"}),
	}
	to.MustRegister(m.requests, m.seconds)
	return m
}

// routeMetrics are the counters of one route, looked up once.
type routeMetrics struct {
	all     *metrics
	method  string
	path    string
	seconds prometheus.Observer
	status  sync.Map // status → prometheus.Counter
}

func (m *metrics) route(r *route) *routeMetrics {
	found := &routeMetrics{all: m, method: r.method, path: r.path}
	if found.method == "" {
		found.method = "any"
	}
	if m.seconds != nil {
		found.seconds = m.seconds.WithLabelValues(found.method, r.path)
	}
	return found
}

func (r *routeMetrics) count(status int, took time.Duration) {
	if r.seconds == nil {
		return
	}
	r.seconds.Observe(took.Seconds())
	counter, ok := r.status.Load(status)
	if !ok {
		counter, _ = r.status.LoadOrStore(status, r.all.requests.WithLabelValues(r.method, r.path, strconv.Itoa(status)))
	}
	counter.(prometheus.Counter).Inc()
}
