package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pmledger/pmledger/eventstore/torture"
)

// TestTheStoreMayBeAwayForAWhile stops the store under two servers.
func TestTheStoreMayBeAwayForAWhile(t *testing.T) {
	away := torture.Size(3*time.Second, 6*time.Second, time.Minute)
	r := newReplicas(t, 2)
	all := r.startAll()
	known := map[string]attached{}
	a := attempt{customer: "cus_1", key: "first", body: `{"type":"card","token":"tok_visa"}`}
	location, err := attachOnce(all[0], r.client, a)
	if err != nil {
		t.Fatal(err)
	}
	known[a.key] = attached{a, location}
	var goroutines []float64
	for _, s := range all {
		s.call(http.StatusOK, http.MethodGet, location, "", "Ledger-Min-Position", "head")
		goroutines = append(goroutines, s.gauge("go_goroutines"))
	}
	connections := r.store.Connections()

	r.store.Stop()
	until := time.Now().Add(away)
	for _, s := range all {
		s.await("it is not ready", func() bool { return s.status("/readyz") == http.StatusServiceUnavailable })
	}
	asked := 0
	for asked == 0 || time.Now().Before(until) {
		for _, s := range all {
			asked += whileAway(t, s, r.client, location)
		}
	}
	if err := r.store.Restart(); err != nil {
		t.Fatal(err)
	}

	for i, s := range all {
		s.await("it is ready again", func() bool { return s.status("/readyz") == http.StatusOK })
		a := attempt{customer: "cus_2", key: "while away", body: a.body}
		location, err := attachOnce(s, r.client, a)
		if err != nil {
			t.Errorf("a command after the store came back: %v", err)
		}
		known[a.key] = attached{a, location}
		s.call(http.StatusOK, http.MethodGet, location, "", "Ledger-Min-Position", "head")
		s.await("goroutines and connections are what they were", func() bool {
			r.client.CloseIdleConnections()
			http.DefaultClient.CloseIdleConnections()
			return s.gauge("go_goroutines") <= goroutines[i]+10 // those of HTTP connections come and go
		})
	}
	all[0].await("there are as many connections as before", func() bool { return r.store.Connections() <= connections })
	checkOneLedger(t, r, known)
	torture.Add(t, torture.Report{Campaign: "the cluster away", Counts: []torture.Figure{
		torture.Count(int(away/time.Second), "seconds"), torture.Count(asked, "requests meanwhile"),
	}})
}

// whileAway asks for everything that a server can and cannot do without the store,
// and returns how much that is.
func whileAway(t *testing.T, s *instance, client *http.Client, location string) (asked int) {
	t.Helper()
	for name, c := range map[string]struct {
		want                 int
		method, path, header string
	}{
		"a command":                {http.StatusServiceUnavailable, http.MethodPost, "/v1/customers/cus_2/payment-methods", ""},
		"a read":                   {http.StatusOK, http.MethodGet, location, ""},
		"a list":                   {http.StatusOK, http.MethodGet, "/v1/payment-methods", ""},
		"events":                   {http.StatusOK, http.MethodGet, "/v1/events", ""},
		"a linearizable read":      {http.StatusServiceUnavailable, http.MethodGet, location, "head"},
		"what may be there by now": {http.StatusServiceUnavailable, http.MethodGet, "/v1/payment-methods/pm_" + strings.Repeat("0", 32), ""},
		"the organization":         {http.StatusServiceUnavailable, http.MethodGet, "/v1/organization", ""},
	} {
		body, header := "", []string{}
		if c.method == http.MethodPost {
			body, header = `{"type":"card","token":"tok_visa"}`, []string{"Idempotency-Key", "while away"}
		}
		if c.header != "" {
			header = []string{"Ledger-Min-Position", c.header}
		}
		asked++
		began := time.Now()
		a, err := s.try(client, c.method, c.path, body, header...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if a.status != c.want {
			t.Errorf("%s: %d, want %d: %s", name, a.status, c.want, a.body)
		}
		if a.status == http.StatusServiceUnavailable && (a.header.Get("Retry-After") == "" || a.json(t)["code"] != "store.unavailable") {
			t.Errorf("%s: %v %s", name, a.header, a.body)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
	return asked
}
