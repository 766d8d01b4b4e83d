package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// book ties the route table to the operations and writes the OpenAPI document.
type book struct {
	routes   []*route
	registry huma.Registry
	taken    map[string]bool // schemas that bodies of requests are made of
	problems map[string]*huma.Response
}

// newBook prepares every route: its operation and the shape of its body. It
// refuses a route that nobody documented, an operation without a route, a route
// without a scope, and a schema that could not be enforced.
func newBook(rows []*route) (*book, error) {
	b := &book{
		routes: rows, registry: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer), problems: map[string]*huma.Response{},
	}
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
				"Times are RFC 3339 in UTC. Members that do not apply are null. Every fault of a request is named at once.\n\n" +
				"Of a request: times have an upper-case T and Z, no leap second, and a year of 0000 to 9999 in UTC; integers are written without fraction " +
				"and exponent; names of members are exact, and none stands twice in one object; arrays and objects are nested at most 16 deep.\n\n" +
				"HEAD goes with every GET. An address that is not here answers 404 not_found; another method on one that is, 405 method_not_allowed with the header Allow. " +
				"x-problem-codes lists every code with its status.",
			License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
		},
		Components: &huma.Components{
			Schemas: b.registry, Responses: b.problems, Headers: sharedHeaders(),
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"bearer": {Type: "http", Scheme: "bearer", Description: "An API key. Each call names the scope that the key must have."},
				"basic":  {Type: "http", Scheme: "basic", Description: "An API key as the user, with an empty password."},
				"clientSecret": {
					Type: "apiKey", In: "header", Name: secretHeader,
					Description: "The client_secret of the setup intent in the path, for the buyer's page. It allows the calls that name it, of that setup intent.",
				},
			},
		},
		Tags: []*huma.Tag{
			{Name: "payment methods", Description: "Attach, read, change and detach payment methods"},
			{Name: "verification", Description: "Prove that a payment method is its holder's"},
			{Name: "setup intents", Description: "Collect a payment method on the buyer's page"},
			{Name: "subscriptions", Description: "Say what uses a payment method"},
			{Name: "history", Description: "What happened, as it also went over NATS"},
			{Name: "organization", Description: "Policies of the organization that the key belongs to, and its test clock"},
			{Name: "API keys", Description: "Issue and revoke credentials"},
			{Name: "gateways", Description: "For the payment providers"},
			{Name: "operating", Description: "For those who run the server; without a key"},
		},
		Extensions: map[string]any{"x-problem-codes": codeTable()},
		Paths:      map[string]*huma.PathItem{},
	}
	for _, r := range b.routes {
		path := openPath(r.path)
		if doc.Paths[path] == nil {
			doc.Paths[path] = &huma.PathItem{}
		}
		b.place(doc.Paths[path], r)
	}
	b.openAnswers()
	for _, schema := range b.registry.Map() {
		standard(schema)
	}
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

// codeTable is every code with its status.
func codeTable() map[string]int {
	all := make(map[string]int, len(outcomes))
	for code, o := range outcomes {
		all[string(code)] = o.status
	}
	return all
}

// standard says in the words of JSON Schema what huma says in its own, all through a
// schema: an enumeration that null passes lists it, and what is no keyword has an x-.
func standard(s *huma.Schema) {
	if s == nil {
		return
	}
	if s.Nullable && len(s.Enum) > 0 && !slices.Contains(s.Enum, nil) {
		s.Enum = append(s.Enum, nil)
	}
	extend := func(name string, word *string) {
		if *word == "" {
			return
		}
		if s.Extensions == nil {
			s.Extensions = map[string]any{}
		}
		s.Extensions[name], *word = *word, ""
	}
	extend("x-pattern-description", &s.PatternDescription)
	if s.Format == "time-zone" {
		extend("x-format", &s.Format)
	}
	standard(s.Items)
	if extra, ok := s.AdditionalProperties.(*huma.Schema); ok {
		standard(extra)
	}
	for _, property := range s.Properties {
		standard(property)
	}
	for _, one := range s.OneOf {
		standard(one)
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
