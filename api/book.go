package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pmledger/pmledger/domain"
)

// book ties the route table to the operations and writes the OpenAPI document.
type book struct {
	routes   []*route
	registry huma.Registry
	taken    map[string]bool // schemas that bodies of requests are made of
}

// newBook prepares every route: its operation and the shape of its body. It
// refuses a route that nobody documented, an operation without a route, a route
// without a scope, and a schema that could not be enforced.
func newBook(rows []*route) (*book, error) {
	b := &book{routes: rows, registry: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)}
	known := operations()
	for _, r := range rows {
		name := r.method + " " + r.path
		o, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("the route %s has no operation", name)
		}
		if r.scope != scopePublic && !ValidScope(r.scope) {
			return nil, fmt.Errorf("the route %s has no scope", name)
		}
		r.operation = o
		if o.body == nil {
			continue
		}
		var err error
		if r.shape, err = newShape(b.registry, b.registry.Schema(o.body, true, "")); err != nil {
			return nil, fmt.Errorf("the body of %s: %w", name, err)
		}
	}
	b.taken = map[string]bool{}
	for name := range b.registry.Map() {
		b.taken[name] = true
	}
	return b, nil
}

// contract is the version of what the document describes: the calls under /v1.
const contract = "1"

// OpenAPI writes the OpenAPI 3.1 document of the API, the same bytes each time.
func OpenAPI() ([]byte, error) {
	b, err := newBook(routes(true))
	if err != nil {
		return nil, err
	}
	return b.document()
}

func (b *book) document() ([]byte, error) {
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "pmledger", Version: contract,
			Description: "A ledger of payment methods. Card numbers are refused everywhere; a payment method is a gateway's token. " +
				"Times are RFC 3339 in UTC. Members that do not apply are null. Every fault of a request is named at once.",
			License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
		},
		Components: &huma.Components{
			Schemas: b.registry,
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"bearer": {Type: "http", Scheme: "bearer", Description: "An API key. Each call names the scope that the key must have."},
				"basic":  {Type: "http", Scheme: "basic", Description: "An API key as the user, with an empty password."},
			},
		},
		Tags: []*huma.Tag{
			{Name: "payment methods", Description: "Attach, read, change and detach payment methods"},
			{Name: "history", Description: "What happened, as it also went over NATS"},
			{Name: "organization", Description: "Policies of the organization that the key belongs to"},
			{Name: "API keys", Description: "Issue and revoke credentials"},
			{Name: "operating", Description: "For those who run the server; without a key"},
		},
		Paths: map[string]*huma.PathItem{},
	}
	for _, r := range b.routes {
		path := openPath(r.path)
		if doc.Paths[path] == nil {
			doc.Paths[path] = &huma.PathItem{}
		}
		b.place(doc.Paths[path], r)
	}
	b.openAnswers()
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("write the OpenAPI document: %w", err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, text, "", "  "); err != nil {
		return nil, fmt.Errorf("write the OpenAPI document: %w", err)
	}
	indented.WriteByte('\n')
	return indented.Bytes(), nil
}

// openAnswers lets the objects of answers have members that are not described:
// within v1 there may come more. Bodies of requests stay closed.
func (b *book) openAnswers() {
	for name, s := range b.registry.Map() {
		if closed, ok := s.AdditionalProperties.(bool); ok && !closed && !b.taken[name] {
			s.AdditionalProperties = nil
		}
	}
}

// openPath writes a path of Echo's as OpenAPI does.
func openPath(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if name, ok := strings.CutPrefix(part, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

func (b *book) place(item *huma.PathItem, r *route) {
	o := b.operationOf(r)
	switch r.method {
	case http.MethodGet:
		item.Get = o
	case http.MethodPost:
		item.Post = o
	case http.MethodPatch:
		item.Patch = o
	case http.MethodPut:
		item.Put = o
	case http.MethodDelete:
		item.Delete = o
	}
}

func (b *book) operationOf(r *route) *huma.Operation {
	o := &huma.Operation{
		OperationID: r.id, Summary: r.summary, Description: r.description, Tags: []string{r.tag},
		Parameters: b.parametersOf(r), Responses: map[string]*huma.Response{},
	}
	if r.body != nil {
		o.RequestBody = &huma.RequestBody{
			Required: !r.bodyOptional,
			Content:  map[string]*huma.MediaType{"application/json": {Schema: b.schema(r.body), Example: exampleOf(r.body)}},
		}
	}
	for i, status := range r.statuses {
		response := &huma.Response{Description: http.StatusText(status), Headers: b.headersOf(r, status)}
		if r.answer != nil && status != http.StatusNoContent && status != http.StatusNotModified && (i == 0 || status < 300 || r.scope == scopePublic) {
			response.Content = map[string]*huma.MediaType{"application/json": {Schema: b.schema(r.answer)}}
		}
		o.Responses[strconv.Itoa(status)] = response
	}
	if r.scope == scopePublic {
		return o
	}
	o.Security = []map[string][]string{{"bearer": {}}, {"basic": {}}}
	o.Extensions = map[string]any{"x-required-scope": r.scope}
	b.refusalsOf(r, o)
	return o
}

func (b *book) schema(t reflect.Type) *huma.Schema { return b.registry.Schema(t, true, "") }

// refusalsOf lists every code by status.
func (b *book) refusalsOf(r *route, o *huma.Operation) {
	codes := append([]domain.Code{
		codeUnauthorized, domain.CodeForbidden, domain.CodeValidationFailed, domain.CodePANDetected, codeBodyMalformed,
		codeRateLimited, domain.CodeInternal, domain.CodeStoreUnavailable,
	}, r.refusals...)
	if r.method == http.MethodGet {
		codes = append(codes, codePositionNotReached)
	} else {
		codes = append(codes, domain.CodeKeyReused, domain.CodeConflict, domain.CodeStorageFull)
	}
	if r.body != nil {
		codes = append(codes, codeBodyTooLarge, codeMediaTypeUnsupported)
	}
	byStatus := map[int][]string{}
	for _, code := range codes {
		status := outcomes[code].status
		byStatus[status] = append(byStatus[status], string(code))
	}
	for status, codes := range byStatus {
		slices.Sort(codes)
		o.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: strings.Join(codes, ", "),
			Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: b.schema(reflect.TypeFor[Problem]())}},
		}
	}
}

func (b *book) parametersOf(r *route) (all []*huma.Param) {
	for part := range strings.SplitSeq(r.path, "/") {
		if name, ok := strings.CutPrefix(part, ":"); ok {
			all = append(all, &huma.Param{Name: name, In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
		}
	}
	for _, p := range r.parameters {
		all = append(all, &huma.Param{Name: p.name, In: "query", Description: p.text, Schema: &huma.Schema{Type: p.kind, Format: p.format}})
	}
	if r.scope == scopePublic {
		return all
	}
	header := func(name, text string) {
		all = append(all, &huma.Param{Name: name, In: "header", Description: text, Schema: &huma.Schema{Type: huma.TypeString}})
	}
	header("X-Request-Id", "Taken over into answer, log and events when it is a plain token; made otherwise")
	if r.method == http.MethodGet {
		header("Ledger-Min-Position", `The read shows at least this position of an earlier answer; "head" makes it linearizable`)
	} else {
		header("Idempotency-Key", "Up to 255 printable ASCII characters. The same key with the same request has one effect and one answer")
		header("Actor", "Who is behind the request; kept in the events of it, those that a gateway's answer brings too. The API key when left out")
		header("Reason", "Why; kept in the event")
		header("traceparent", "W3C trace context; kept in the event and sent over NATS")
	}
	if r.conditional != "" {
		header(r.conditional, "ETags, or *")
	}
	if r.minimal {
		header("Prefer", "return=minimal: 204 without a body")
	}
	return all
}

func (b *book) headersOf(r *route, status int) map[string]*huma.Header {
	all := map[string]*huma.Header{"X-Request-Id": textHeader("The request's id")}
	if r.scope == scopePublic {
		return all
	}
	all["Ledger-Position"] = textHeader("Send it back as Ledger-Min-Position to read at least this")
	if r.method != http.MethodGet {
		all["Idempotency-Replayed"] = textHeader("true: this is the answer to an earlier request with the same key")
	}
	if r.answer == reflect.TypeFor[PaymentMethod]() && status != http.StatusNoContent {
		all["ETag"] = textHeader("The payment method's version, in quotes")
	}
	if status == http.StatusCreated && r.answer == reflect.TypeFor[PaymentMethod]() {
		all["Location"] = textHeader("Path of the new payment method")
	}
	if slices.ContainsFunc(r.parameters, func(p parameter) bool { return p.name == "cursor" }) {
		all["Link"] = textHeader(`The next page: rel="next"`)
	}
	return all
}

func textHeader(text string) *huma.Header {
	return &huma.Header{Description: text, Schema: &huma.Schema{Type: huma.TypeString}}
}

// exampleOf is a body that the call accepts; a test sends each.
func exampleOf(body reflect.Type) any {
	switch body {
	case reflect.TypeFor[AttachRequest]():
		return map[string]any{"type": "card", "token": "tok_visa", "set_as_default": true}
	case reflect.TypeFor[AttachAnywhereRequest]():
		return map[string]any{"customer_id": "cus_1", "type": "card", "token": "tok_mastercard"}
	case reflect.TypeFor[UpdateRequest]():
		return map[string]any{"metadata": map[string]any{"team": "growth", "old": nil}, "external_id": "card-7", "status": "paused"}
	case reflect.TypeFor[OrganizationRequest]():
		return map[string]any{"default_policy": "explicit", "expiry_windows_days": []int{60, 30, 7}, "time_zone": "Europe/Berlin"}
	case reflect.TypeFor[KeyRequest]():
		return map[string]any{"scopes": []string{ScopeMethodsRead, ScopeMethodsWrite}, "name": "billing worker"}
	case reflect.TypeFor[SetupIntentRequest]():
		return map[string]any{"customer_id": "cus_1", "type": "card", "usage": "off_session", "redirect_url": "https://shop.example/done"}
	case reflect.TypeFor[ConfirmSetupRequest]():
		return map[string]any{"token": "tok_visa"}
	case reflect.TypeFor[CancelSetupRequest]():
		return map[string]any{"cancellation_reason": "abandoned"}
	case reflect.TypeFor[SubscriptionRequest]():
		return map[string]any{"customer_id": "cus_1", "status": "active", "default_payment_method_id": nil}
	case reflect.TypeFor[ConfirmRequest]():
		return map[string]any{"amounts": []int{32, 45}}
	case reflect.TypeFor[ReplaceRequest]():
		return map[string]any{"token": "tok_mastercard"}
	case reflect.TypeFor[DeclineRequest]():
		return map[string]any{"code": "expired_payment_method"}
	case reflect.TypeFor[TestClockRequest]():
		return map[string]any{"now": "2031-12-15T00:00:00Z"}
	case reflect.TypeFor[RawCardRequest]():
		return map[string]any{"number": "4242" + "424242424242", "expiration_date": "12/34", "security_code": "123"}
	default:
		return map[string]any{}
	}
}
