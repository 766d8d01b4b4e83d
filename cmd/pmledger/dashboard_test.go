package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pmledger/pmledger/projections/publisher"
)

// deployed is a file in deploy.
func deployed(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "deploy", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// expressions are the PromQL queries of the dashboard and of the alerts, by where
// they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Annotations struct {
			List []struct{ Name, Expr string }
		}
		Templating struct {
			List []struct {
				Name, Type string
				Query      json.RawMessage
			}
		}
	}
	if err := json.Unmarshal([]byte(deployed(t, "grafana/pmledger.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for i, target := range p.Targets {
			all[fmt.Sprintf("panel %q, query %d", p.Title, i+1)] = target.Expr
		}
	}
	for _, a := range dashboard.Annotations.List {
		all["annotation "+a.Name] = a.Expr
	}
	for _, v := range dashboard.Templating.List {
		if v.Type != "query" {
			continue
		}
		var query struct{ Query string }
		if err := json.Unmarshal(v.Query, &query); err != nil {
			t.Fatal(err)
		}
		all["variable "+v.Name] = query.Query
	}
	// A rule's expression stands on the line of expr, or in the deeper lines after it.
	rules := regexp.MustCompile(`(?m)^ +- alert: (\w+)\n +expr: (.*\n(?: {10,}.*\n)*)`).FindAllStringSubmatch(deployed(t, "prometheus/alerts.yml"), -1)
	for _, rule := range rules {
		all["alert "+rule[1]] = strings.TrimPrefix(strings.TrimSpace(rule[2]), "|")
	}
	if n := strings.Count(deployed(t, "prometheus/alerts.yml"), "- alert:"); len(rules) != n || n < 10 || len(all) < 40 {
		t.Fatalf("found %d of %d alerts, and %d queries in all", len(rules), n, len(all))
	}
	return all
}

var (
	promText   = regexp.MustCompile(`"[^"]*"`)
	promLabels = regexp.MustCompile(`\{[^}]*\}|\[[^\]]*\]|\b(by|on|without|ignoring|group_left|group_right) *\([^)]*\)`)
	promName   = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
	promNumber = regexp.MustCompile(`\b[0-9][0-9a-zA-Z.]*`) // durations, too
	promCall   = regexp.MustCompile(`[a-z_]+ *\(`)
)

// metricsOf are the names of the metrics in a PromQL query or in label_values.
func metricsOf(expression string) []string {
	text := promLabels.ReplaceAllString(promText.ReplaceAllString(expression, ""), " ")
	if inner, ok := strings.CutPrefix(text, "label_values("); ok {
		text, _, _ = strings.Cut(inner, ",")
	}
	text = promCall.ReplaceAllString(promNumber.ReplaceAllString(text, ""), "(")
	var names []string
	for _, name := range promName.FindAllString(text, -1) {
		if !slices.Contains([]string{"and", "or", "unless", "bool", "offset", "sum", "min", "max", "count", "topk"}, name) {
			names = append(names, name)
		}
	}
	return names
}

// metricNames are the names of all series in an exposition.
func metricNames(exposition string) map[string]bool {
	names := map[string]bool{}
	for line := range strings.Lines(exposition) {
		if !strings.HasPrefix(line, "#") {
			names[promName.FindString(line)] = true
		}
	}
	return names
}

// A running server that has done a bit of everything is asked for its metrics; what
// dashboard and alerts look at is among them, and what tells of trouble is looked at.
func TestDashboardAndAlertsLookAtMetricsThatExist(t *testing.T) {
	s := serve(t, t.TempDir())
	s.attach("cus_1", "tok_visa")
	s.attach("cus_1", "tok_amex_unavailable") // stays pending: the worker goes on asking
	var there map[string]bool
	s.await("the gateway's work is on the list", func() bool {
		there = metricNames(fetch(t, s.admin))
		return there["pmledger_gateway_work"]
	})
	there["up"] = true // made by Prometheus
	used := map[string]bool{}
	for at, expression := range expressions(t) {
		names := metricsOf(expression)
		if len(names) == 0 {
			t.Errorf("%s names no metric: %s", at, expression)
		}
		for _, name := range names {
			used[name] = true
			if !there[name] {
				t.Errorf("%s: there is no metric %s", at, name)
			}
		}
	}
	beside := []string{ // what a person looks up after an alert, not before
		"pmledger_projection_position", "pmledger_publisher_position", "pmledger_append_seconds_sum",
		"pmledger_http_request_seconds_sum", "pmledger_http_request_seconds_count", "pmledger_gateway_call_seconds_sum",
	}
	for _, name := range slices.Sorted(maps.Keys(there)) {
		if strings.HasPrefix(name, "pmledger_") && !used[name] && !slices.Contains(beside, name) {
			t.Errorf("neither dashboard nor alerts look at %s", name)
		}
	}
}

func TestMetricsAreFoundInQueries(t *testing.T) {
	for expression, want := range map[string][]string{
		`sum by (job) (rate(a_total{x=~"b.*",y!="c"}[5m])) > 0.01 * sum(d)`:                  {"a_total", "d"},
		`min by (job) (a) > 0 and on (job) max by (job) (delta(b[$__interval])) == 0`:        {"a", "b"},
		`label_values(a_info{job=~"$job"}, instance)`:                                        {"a_info"},
		`absent(up{job="pmledger"})`:                                                         {"up"},
		`a < 1073741824 or a and predict_linear(a[6h], 2e9 * 86400) < 0 and a offset 5h > 0`: {"a", "a", "a", "a"},
	} {
		if got := metricsOf(expression); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", expression, got, want)
		}
	}
}

// An alert without advice wakes somebody who does not know what to do.
func TestTheRunbookHasASectionForEveryAlert(t *testing.T) {
	runbook := deployed(t, "RUNBOOK.md")
	alerts := map[string]bool{}
	for at := range expressions(t) {
		if name, ok := strings.CutPrefix(at, "alert "); ok {
			alerts[name] = true
			if !strings.Contains(runbook, "\n### "+name+"\n") {
				t.Errorf("RUNBOOK.md has no section %s", name)
			}
		}
	}
	for _, heading := range regexp.MustCompile(`(?m)^### (Pmledger\w+)$`).FindAllStringSubmatch(runbook, -1) {
		if !alerts[heading[1]] {
			t.Errorf("RUNBOOK.md explains %s, and there is no such alert", heading[1])
		}
	}
}

// The accounts of the NATS cluster in Compose are the ones that the program prints.
func TestTheClustersAccountsAreTheProgramsOwn(t *testing.T) {
	conf := strings.NewReplacer("$PUBLISHER_PASSWORD", `"…"`, "$ADMIN_PASSWORD", `"…"`).Replace(deployed(t, "compose/nats.conf"))
	if !strings.Contains(conf, publisher.AccountsConfig()) {
		t.Errorf("deploy/compose/nats.conf does not hold what pmledger nats accounts prints:\n%s", publisher.AccountsConfig())
	}
}
