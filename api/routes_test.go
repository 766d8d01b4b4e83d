package api

import (
	"go/ast"
	goparser "go/parser"
	"go/token"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
)

func TestEveryRouteHasAScopeAndIsDeniedWithoutIt(t *testing.T) {
	b := newBench(t)
	public := []string{
		"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs",
		"/v1/setup-intents/:id/return", "/v1/gateways/:name/:organization/webhooks", // signed each in its own way
	}
	if len(operations()) != len(routes(true)) {
		t.Errorf("%d operations for %d routes", len(operations()), len(routes(true)))
	}
	for _, r := range routes(true) {
		if r.scope == scopePublic {
			if !slices.Contains(public, r.path) {
				t.Errorf("%s %s is public", r.method, r.path)
			}
			continue
		}
		others := slices.DeleteFunc(Scopes(), func(s string) bool { return s == r.scope })
		target := strings.NewReplacer(":customer_id", "cus_1", ":id", "pm_00000000000070008000000000000000").Replace(r.path)
		a := b.as(b.key("acme", domain.ModeTest, others...), r.method, target, "")
		if a.status != 403 || !strings.Contains(a.body, "lacks the scope "+r.scope) {
			t.Errorf("%s %s without %s: %d %s", r.method, r.path, r.scope, a.status, a.body)
		}
		b.clock.add(time.Minute) // wrong keys are counted
		if a := b.as("", r.method, target, ""); a.status != 401 {
			t.Errorf("%s %s without a key: %d", r.method, r.path, a.status)
		}
	}
}

func TestARouteWithoutAScopeDoesNotStart(t *testing.T) {
	rows := routes(false)
	rows[3].scope = ""
	if _, err := newBook(rows); err == nil {
		t.Error("a route without a scope starts")
	}
	rows = routes(false)
	rows[3].path = "/v1/elsewhere"
	if _, err := newBook(rows); err == nil {
		t.Error("a route without an operation starts")
	}
}

// Everything Echo answers must be in the table: nothing is reachable beside it.
func TestTheRouterKnowsTheTableOnly(t *testing.T) {
	b := newBench(t)
	for _, registered := range b.server.echo.Routes() {
		method := registered.Method
		if method == "HEAD" {
			method = "GET"
		}
		if method == "OPTIONS" && slices.ContainsFunc(b.server.routes, func(r *route) bool { return r.clientSide && r.path == registered.Path }) {
			continue // what a page asks first
		}
		if !slices.ContainsFunc(b.server.routes, func(r *route) bool { return r.method == method && r.path == registered.Path }) {
			t.Errorf("%s %s is answered and not in the table", registered.Method, registered.Path)
		}
	}
}

// Every code that the code base can refuse with has its status here.
func TestEveryCodeHasAStatus(t *testing.T) {
	form := regexp.MustCompile(`^"[a-z_]+(\.[a-z_]+)?"$`)
	for _, folder := range []string{"../domain", "."} {
		names, err := fs.Glob(os.DirFS(folder), "*.go")
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, name := range names {
			file, err := goparser.ParseFile(token.NewFileSet(), folder+"/"+name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				spec, ok := n.(*ast.ValueSpec)
				if !ok || len(spec.Values) != 1 || !strings.HasPrefix(strings.ToLower(spec.Names[0].Name), "code") {
					return true
				}
				if literal, ok := spec.Values[0].(*ast.BasicLit); ok && form.MatchString(literal.Value) {
					found++
					if _, ok := outcomes[domain.Code(strings.Trim(literal.Value, `"`))]; !ok {
						t.Errorf("%s has no status", literal.Value)
					}
				}
				return true
			})
		}
		if found < 10 {
			t.Errorf("only %d codes found in %s", found, folder)
		}
	}
}

func TestCodesHaveTheirDocumentedStatus(t *testing.T) {
	for code, status := range map[domain.Code]int{
		"body.malformed": 400, "not_found": 404, "method_not_allowed": 405, "media_type.unsupported": 415, "headers.too_large": 431,
		"cursor.invalid": 422, "position.not_reached": 503, "storage.full": 507, "raw_card_data.disabled": 422, "subscription.not_found": 404,
		"event.not_found": 404, "api_key.not_found": 404, "customer.too_many_methods": 409, "payment_method.not_found": 404,
		"payment_method.in_use": 409, "payment_method.detached": 409, "payment_method.duplicate": 409, "payment_method.not_active": 409,
		"setup_intent.not_found": 404, "setup_intent.invalid_state": 409, "subscription.customer_mismatch": 409, "verification.mismatch": 409,
		"verification.expired": 409, "verification.attempts_exhausted": 409, "verification.not_pending": 409, "conflict": 409, "idempotency_key.reused": 422, "validation.failed": 422, "pan_detected": 422, "precondition.failed": 412,
		"body.too_large": 413, "unauthorized": 401, "forbidden": 403, "rate_limited": 429, "gateway.declined": 402,
		"gateway.unavailable": 502, "store.unavailable": 503, "internal": 500,
	} {
		if o := outcomes[code]; o.status != status || o.title == "" {
			t.Errorf("%s: %d, want %d", code, o.status, status)
		}
		waits := slices.Contains([]int{429, 502, 503, 507}, status)
		if (outcomes[code].retry != "") != waits {
			t.Errorf("%s: Retry-After %q", code, outcomes[code].retry)
		}
	}
}
