package api

import (
	"context"
	_ "embed"
	"net/http"
)

// health answers GET /healthz: the process runs and answers.
func health(c *call) error {
	return c.reply(http.StatusOK, healthy{Status: "ok", Version: c.Options.Version})
}

// healthy is the answer of /healthz.
type healthy struct {
	Status  string `json:"status"`
	Version string `json:"version,omitempty"`
}

// readiness is the answer of /readyz.
type readiness struct {
	Status string      `json:"status"` // ready or unready
	Checks []checkLine `json:"checks"`
}

type checkLine struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Advisory bool   `json:"advisory,omitempty"`
	Detail   string `json:"detail,omitempty"`
}

// ready answers GET /readyz: 200 when requests can be answered well, 503 with the
// reason otherwise.
func ready(c *call) error {
	checks := c.ownChecks()
	if c.Ready != nil {
		checks = append(checks, c.Ready()...)
	}
	answer, status := readiness{Status: "ready"}, http.StatusOK
	for _, check := range checks {
		answer.Checks = append(answer.Checks, checkLine{check.Name, check.OK, check.Advisory, check.Detail})
		if !check.OK && !check.Advisory {
			answer.Status, status = "unready", http.StatusServiceUnavailable
		}
	}
	if status != http.StatusOK {
		c.answer.Header().Set("Retry-After", "1")
	}
	return c.reply(status, answer)
}

// ownChecks tells whether the log can be read and the projections run.
func (c *call) ownChecks() []Check {
	store := Check{Name: "store", OK: true}
	ctx, cancel := context.WithTimeout(c.request.Context(), c.WaitTimeout)
	defer cancel()
	if head, err := c.Ledger.Head(ctx); err != nil {
		store.OK, store.Detail = false, err.Error()
	} else {
		store.Detail = "head " + head.String()
	}
	checks := []Check{store}
	for _, s := range c.Views.Status() {
		check := Check{Name: "projection." + s.Projection, OK: s.Halted == nil, Detail: "position " + s.Position.String()}
		if s.Halted != nil {
			check.Detail = s.Halted.Error()
		}
		checks = append(checks, check)
	}
	return checks
}

// scrape answers GET /metrics.
func scrape(c *call) error {
	c.Metrics.ServeHTTP(c.answer, c.request)
	return nil
}

// openAPI answers GET /openapi.json.
func openAPI(c *call) error {
	c.answer.Header()["Cache-Control"] = headerPrivate
	return c.json(http.StatusOK, c.document)
}

//go:embed docs.html
var docsPage []byte

// docs answers GET /docs: a page that draws /openapi.json, with nothing from
// anywhere else.
func docs(c *call) error {
	h := c.answer.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	c.write(http.StatusOK, []string{"text/html; charset=utf-8"}, docsPage)
	return nil
}
