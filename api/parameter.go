package api

import (
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pmledger/pmledger/domain"
)

// parameter is one of the query. Its schema is made of what the handlers check.
type parameter struct {
	name   string
	schema *huma.Schema
	text   string
}

// customerForm is the pattern of what may name a customer or a subscription. What a
// URL path would swallow, "." and "..", may not, and a pattern cannot say so.
const customerForm = `^[A-Za-z0-9_.:@-]{1,128}$`

const methodIDForm = `^pm_[0-9a-f]{32}$`

var (
	pageParameters = []parameter{
		{"limit", limitSchema(), "Size of the page"},
		{"cursor", &huma.Schema{Type: huma.TypeString}, "next_cursor of the page before, with the same filters"},
	}
	asOfParameter = parameter{"as_of", timeSchema(), "The state at that moment, inclusive, whatever happened since; not in the future"}
	methodFilters = []parameter{
		{"type", enumSchema(domain.Types), "Of this type only"},
		{"status", enumSchema(domain.Statuses), "With this status only; detached ones are listed when asked for"},
		{"is_default", &huma.Schema{Type: huma.TypeBoolean}, "Whether it is its customer's default"},
		{"verified", &huma.Schema{Type: huma.TypeBoolean}, "Whether it is verified"},
		{"provider", textSchema(1, maxQueryText), "Name of the gateway"},
		{"provider_id", textSchema(1, maxQueryText), "The gateway's token"},
		{"fingerprint", textSchema(1, maxQueryText), "Equal for equal instruments"},
		{"external_id", textSchema(1, maxQueryText), "The caller's own name of it"},
		{"expiring_before", timeSchema(), "expires_at lies before it"},
		{"created_after", timeSchema(), "Exclusive"},
		{"created_before", timeSchema(), "Exclusive"},
		{"include_removed", &huma.Schema{Type: huma.TypeBoolean, Default: false}, "Detached ones too"},
	}
	customerFilter = parameter{"customer_id", customerSchema(), "Of this customer only"}
)

func parameters(lists ...[]parameter) (all []parameter) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func limitSchema() *huma.Schema {
	least, most := 1.0, float64(maxLimit)
	return &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most, Default: defaultLimit}
}

func timeSchema() *huma.Schema { return &huma.Schema{Type: huma.TypeString, Format: "date-time"} }

func enumSchema[T ~string](known []T) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, k := range known {
		s.Enum = append(s.Enum, string(k))
	}
	return s
}

func textSchema(least, most int) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, MinLength: &least, MaxLength: &most}
}

// headerSchema is that of a header whose text is kept with an event.
func headerSchema(least, most int, pattern string) *huma.Schema {
	s := textSchema(least, most)
	s.Pattern = pattern
	return s
}

func patternSchema(pattern string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: pattern}
}

func methodIDSchema() *huma.Schema { return patternSchema(methodIDForm) }

func customerSchema() *huma.Schema {
	s := patternSchema(customerForm)
	s.Not = &huma.Schema{Enum: []any{".", ".."}}
	return s
}

// pathSchema is that of a parameter of the path. What names a customer or a
// subscription is refused when it has another form; of other names it is only said
// that there is nothing of that name.
func pathSchema(path, name string) *huma.Schema {
	if name == "customer_id" {
		return customerSchema()
	}
	for prefix, schema := range map[string]*huma.Schema{
		"/v1/payment-methods/": methodIDSchema(),
		"/v1/setup-intents/":   patternSchema(`^seti_[0-9a-f]{32}$`),
		"/v1/events/":          patternSchema(`^evt_[0-9a-f]{32}$`),
		"/v1/subscriptions/":   customerSchema(),
	} {
		if strings.HasPrefix(path, prefix) {
			return schema
		}
	}
	return &huma.Schema{Type: huma.TypeString}
}

// parametersOf lists what a call takes beside its body.
func (b *book) parametersOf(r *route) (all []*huma.Param) {
	for part := range strings.SplitSeq(r.path, "/") {
		if name, ok := strings.CutPrefix(part, ":"); ok {
			all = append(all, &huma.Param{Name: name, In: "path", Required: true, Schema: pathSchema(r.path, name)})
		}
	}
	for _, p := range r.parameters {
		all = append(all, &huma.Param{Name: p.name, In: "query", Description: p.text, Schema: p.schema})
	}
	header := func(name, text string, schema *huma.Schema) {
		all = append(all, &huma.Param{Name: name, In: "header", Description: text, Schema: schema})
	}
	anything := &huma.Schema{Type: huma.TypeString}
	header("X-Request-Id", "Taken over into answer, log and events when it is a plain token; made otherwise", anything)
	if r.scope == scopePublic {
		return all
	}
	if r.isRead() {
		header("Ledger-Min-Position", `The read shows at least this position of an earlier answer; "head" makes it linearizable`, patternSchema("^(head|[0-9]{1,20})$"))
	} else {
		header("Idempotency-Key", "The same key with the same request has one effect and one answer", headerSchema(1, maxKey, "^[ -~]*$"))
		header("Actor", "Who is behind the request; kept in the events of it, those that a gateway's answer brings too. The API key when left out", headerSchema(0, maxActor, plainText))
		header("Reason", "Why; kept in the event", headerSchema(0, maxReason, plainText))
		header("traceparent", "W3C trace context; kept in the event and sent over NATS. One of another form is ignored", anything)
	}
	if r.conditional != "" {
		header(r.conditional, "ETags, or *", anything)
	}
	if r.minimal {
		header("Prefer", "return=minimal: 204 without a body", anything)
	}
	return all
}
