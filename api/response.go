package api

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pmledger/pmledger/domain"
)

// isRead tells whether the call changes nothing.
func (r *route) isRead() bool { return r.method == http.MethodGet }

func (b *book) operationOf(r *route) *huma.Operation {
	o := &huma.Operation{
		OperationID: r.id, Summary: r.summary, Description: r.description, Tags: []string{r.tag},
		Parameters: b.parametersOf(r), RequestBody: b.bodyOf(r), Responses: map[string]*huma.Response{},
	}
	for i, status := range r.statuses {
		o.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status), Headers: b.headersOf(r, status), Content: b.contentOf(r, i, status),
		}
	}
	b.refusalsOf(r, o)
	if r.scope == scopePublic {
		return o
	}
	o.Security = []map[string][]string{{"bearer": {}}, {"basic": {}}}
	if r.clientSide {
		o.Security = append(o.Security, map[string][]string{"clientSecret": {}})
	}
	o.Extensions = map[string]any{"x-required-scope": r.scope}
	return o
}

func (b *book) bodyOf(r *route) *huma.RequestBody {
	switch {
	case r.body != nil:
		return &huma.RequestBody{
			Required: !r.bodyOptional,
			Content:  map[string]*huma.MediaType{"application/json": {Schema: b.schema(r.body), Example: exampleOf(r.body)}},
		}
	case r.ownBody:
		return &huma.RequestBody{
			Required: true, Description: "What the gateway sends, as it sends it, up to " + strconv.Itoa(maxWebhook) + " bytes; its signature is over these bytes",
			Content: map[string]*huma.MediaType{"*/*": {}},
		}
	default:
		return nil
	}
}

// contentOf is the body of a success, the i-th of the operation's.
func (b *book) contentOf(r *route, i, status int) map[string]*huma.MediaType {
	switch {
	case status == http.StatusNoContent || status == http.StatusNotModified:
		return nil
	case r.media == "application/json":
		return map[string]*huma.MediaType{r.media: {Schema: &huma.Schema{Type: huma.TypeObject}}}
	case r.media != "" && status == http.StatusOK:
		return map[string]*huma.MediaType{r.media: {Schema: &huma.Schema{Type: huma.TypeString}}}
	case r.answer != nil && (i == 0 || status < 300 || r.scope == scopePublic):
		return map[string]*huma.MediaType{"application/json": {Schema: b.schema(r.answer)}}
	default:
		return nil
	}
}

func (b *book) schema(t reflect.Type) *huma.Schema { return b.registry.Schema(t, true, "") }

// refusalsOf lists every code by status.
func (b *book) refusalsOf(r *route, o *huma.Operation) {
	byStatus := map[int][]string{}
	for _, code := range r.codes() {
		status := outcomes[code].status
		byStatus[status] = append(byStatus[status], string(code))
	}
	for status, codes := range byStatus {
		if o.Responses[strconv.Itoa(status)] != nil {
			continue // a readiness that is none is no problem of the request's
		}
		slices.Sort(codes)
		name := r.asker() + "-" + strconv.Itoa(status) + "-" + strings.Join(codes, "-")
		b.problems[name] = &huma.Response{
			Description: strings.Join(codes, ", "), Headers: b.headersOf(r, status),
			Content:    map[string]*huma.MediaType{"application/problem+json": {Schema: b.schema(reflect.TypeFor[Problem]())}},
			Extensions: map[string]any{"x-codes": codes},
		}
		o.Responses[strconv.Itoa(status)] = &huma.Response{Ref: "#/components/responses/" + name}
	}
}

// asker is who makes the call: calls with one asker have refusals with the same
// headers.
func (r *route) asker() string {
	name := "write"
	switch {
	case r.scope == scopePublic && strings.HasPrefix(r.path, "/v1/"):
		return "unkeyed"
	case r.scope == scopePublic:
		return "operator"
	case r.isRead():
		name = "read"
	}
	if r.clientSide {
		name += "-of-page"
	}
	return name
}

// codes are those that the call may be refused with.
func (r *route) codes() []domain.Code {
	codes := append([]domain.Code{codeHeadersTooLarge, domain.CodeInternal}, r.refusals...)
	if r.scope == scopePublic {
		return codes
	}
	codes = append(codes, codeUnauthorized, domain.CodeForbidden, domain.CodeValidationFailed, domain.CodePANDetected, codeBodyMalformed,
		codeRateLimited, domain.CodeStoreUnavailable, codePositionNotReached)
	if !r.isRead() {
		codes = append(codes, domain.CodeKeyReused, domain.CodeConflict, domain.CodeStorageFull)
	}
	if r.body != nil {
		codes = append(codes, codeBodyTooLarge, codeMediaTypeUnsupported)
	}
	return codes
}

// headers are those that answers share, with what they say.
var headers = map[string]string{
	"X-Request-Id":                  "The request's id",
	"Ledger-Position":               "What the answer reflects. Send it back as Ledger-Min-Position to read at least this",
	"Idempotency-Replayed":          "true: this is the answer to an earlier request with the same key",
	"Retry-After":                   "Seconds to wait",
	"WWW-Authenticate":              "How to send the key",
	"Access-Control-Allow-Origin":   "*: pages of any origin may ask",
	"Access-Control-Expose-Headers": "The headers that such a page can read",
	"RateLimit":                     "How many requests the key has left, and the seconds until it has all (IETF draft). Not where there is no limit",
	"RateLimit-Policy":              "The limit that RateLimit is about",
	"RateLimit-Limit":               "The same in an older form: requests at once",
	"RateLimit-Remaining":           "Requests left",
	"RateLimit-Reset":               "Seconds until all are there again",
}

func sharedHeaders() map[string]*huma.Header {
	all := map[string]*huma.Header{}
	for name, text := range headers {
		all[name] = textHeader(text)
	}
	return all
}

// headersOf lists the headers of an answer, but for those of every HTTP answer.
func (b *book) headersOf(r *route, status int) map[string]*huma.Header {
	all := map[string]*huma.Header{}
	share := func(names ...string) {
		for _, name := range names {
			all[name] = &huma.Header{Ref: "#/components/headers/" + name}
		}
	}
	share("X-Request-Id")
	if waits(status) {
		share("Retry-After")
	}
	if status == http.StatusUnauthorized {
		share("WWW-Authenticate")
	}
	if r.clientSide {
		share("Access-Control-Allow-Origin", "Access-Control-Expose-Headers")
	}
	if status == http.StatusSeeOther {
		all["Location"] = textHeader("redirect_url of the setup intent")
	}
	if r.asker() != "operator" {
		share("Ledger-Position")
	}
	if r.scope != scopePublic && status != http.StatusUnauthorized {
		share("RateLimit", "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
	}
	if r.scope != scopePublic && !r.isRead() {
		share("Idempotency-Replayed")
	}
	if status < 400 {
		b.successHeaders(r, status, all)
	}
	return all
}

// waits tells whether an answer with the status says when to ask again.
func waits(status int) bool {
	for _, o := range outcomes {
		if o.status == status && o.retry != "" {
			return true
		}
	}
	return false
}

// versioned are the objects whose version is an ETag.
var versioned = []reflect.Type{reflect.TypeFor[PaymentMethod](), reflect.TypeFor[SetupIntent](), reflect.TypeFor[Subscription]()}

func (b *book) successHeaders(r *route, status int, all map[string]*huma.Header) {
	if slices.Contains(versioned, r.answer) && status != http.StatusNoContent {
		all["ETag"] = textHeader("The object's version, in quotes")
		if status == http.StatusCreated {
			all["Location"] = textHeader("Path of the new object")
		}
	}
	if r.minimal && status == http.StatusNoContent {
		all["Preference-Applied"] = textHeader("return=minimal")
	}
	if slices.ContainsFunc(r.parameters, func(p parameter) bool { return p.name == "cursor" }) {
		all["Link"] = textHeader(`The next page: rel="next"`)
	}
}

func textHeader(text string) *huma.Header {
	return &huma.Header{Description: text, Schema: &huma.Schema{Type: huma.TypeString}}
}
