package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pmledger/pmledger/domain"
)

// maxBody is the size of a request body in bytes.
const maxBody = 64 << 10

// maxHeaders is the size of the request line and all headers in bytes.
const maxHeaders = 16 << 10

// headerSize counts the request line and the headers as they were sent, nearly.
func headerSize(r *http.Request) int {
	size := len(r.Method) + len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	return size
}

// readQuery parses and screens the query. A parameter that the call does not know
// is a fault: a misspelt filter must not be taken for no filter.
func (c *call) readQuery() {
	if c.request.URL.RawQuery == "" {
		return
	}
	query, err := url.ParseQuery(c.request.URL.RawQuery)
	if err != nil {
		c.add("query", "must be name=value pairs, percent-encoded as UTF-8")
	}
	c.query = query
	for _, name := range sortedKeys(query) {
		location := "query." + name
		if !shownName.MatchString(name) || domain.ContainsPANInNumberField(name) {
			location = "query"
			c.screen(location, name)
		}
		switch values := query[name]; {
		case !slices.ContainsFunc(c.parameters, func(p parameter) bool { return p.name == name }):
			c.add(location, "is not known here")
		case len(values) > 1:
			c.add(location, "is given more than once")
		case !utf8.ValidString(values[0]):
			c.add(location, "must be UTF-8")
		}
		for _, v := range query[name] {
			c.screen(location, v)
		}
	}
}

func sortedKeys(query url.Values) []string {
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Limits of the headers that are kept with an event, in characters.
const (
	maxKey    = 255
	maxActor  = 255
	maxReason = 500
)

var traceparentForm = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// readHeaders takes the headers that go into an event.
func (c *call) readHeaders() {
	if c.request.Method == http.MethodGet || c.request.Method == http.MethodHead {
		return
	}
	c.key = c.headerText("Idempotency-Key", maxKey)
	if i := strings.IndexFunc(c.key, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
		c.add("header.Idempotency-Key", "must be printable ASCII")
	}
	if _, sent := c.request.Header["Idempotency-Key"]; sent && c.key == "" {
		c.add("header.Idempotency-Key", "must not be empty")
	}
	c.reason = c.headerText("Reason", maxReason)
	c.actor = c.headerText("Actor", maxActor)
	switch {
	case c.who.intent != "":
		c.actor, c.reason = clientActor, "" // a buyer's page does not say who it is
	case c.actor == "":
		c.actor = "api_key:" + c.who.keyID
	}
	trace := c.request.Header.Get("Traceparent")
	if traceparentForm.MatchString(trace) && !strings.Contains(trace, strings.Repeat("0", 32)) &&
		!strings.Contains(trace, "-0000000000000000-") && !domain.ContainsPAN(trace) {
		c.trace = trace // anything else is ignored, as the W3C asks
	}
}

// headerText reads and screens a header with text of the caller's.
func (c *call) headerText(name string, limit int) string {
	values := c.request.Header[name]
	if len(values) == 0 {
		return ""
	}
	location, text := "header."+name, values[0]
	for _, v := range values {
		c.screen(location, v)
	}
	switch {
	case len(values) > 1:
		c.add(location, "is given more than once")
	case !utf8.ValidString(text) || strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0:
		c.add(location, "must be printable text")
	case utf8.RuneCountInString(text) > limit:
		c.add(location, "must have at most "+strconv.Itoa(limit)+" characters")
	}
	return text
}

// readBody reads the body of a route that takes one and checks it against the
// route's shape; on another route it makes sure there is none. A text that is not
// JSON is an error at once; everything else becomes a fault.
func (c *call) readBody() error {
	if c.shape == nil {
		return c.noBody()
	}
	text, err := c.bodyText()
	if err != nil {
		return err
	}
	if len(text) == 0 {
		if c.bodyOptional {
			c.body = value{kind: kindObject} // to be left out is to be empty
			return nil
		}
		return domain.Refuse(codeBodyMalformed, "this call needs a JSON body")
	}
	c.text = text
	if c.body, err = parseStrict(text); err != nil {
		return domain.Refuse(codeBodyMalformed, "%s", err.Error())
	}
	at := place{name: "body"}
	screenAll(&c.body, &at, &c.faults)
	c.shape.check(&c.body, &at, &c.faults)
	return nil
}

func (c *call) noBody() error {
	if c.request.ContentLength == 0 || c.request.Body == nil {
		return nil
	}
	if n, _ := io.ReadFull(c.request.Body, make([]byte, 1)); n == 0 {
		return nil
	}
	c.answer.Header().Set("Connection", "close")
	return domain.Refuse(codeBodyMalformed, "this call takes no body")
}

func (c *call) bodyText() ([]byte, error) {
	if c.request.ContentLength > maxBody {
		return nil, tooLarge()
	}
	size := c.request.ContentLength
	if size < 0 {
		size = 512
	}
	text := make([]byte, 0, size+1)
	body := http.MaxBytesReader(c.answer, c.request.Body, maxBody)
	for {
		n, err := body.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		var large *http.MaxBytesError
		switch {
		case errors.Is(err, io.EOF):
			return text, c.mediaType(len(text))
		case errors.As(err, &large):
			return nil, tooLarge()
		case err != nil:
			return nil, domain.Refuse(codeBodyMalformed, "the body ended early")
		case len(text) == cap(text):
			text = slices.Grow(text, len(text))
		}
	}
}

func tooLarge() error {
	return domain.Refuse(codeBodyTooLarge, "a body may have %d bytes", maxBody)
}

// mediaType accepts JSON in UTF-8. Without a body there is nothing to be typed.
func (c *call) mediaType(size int) error {
	if size == 0 {
		return nil
	}
	if coding := c.request.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return domain.Refuse(codeMediaTypeUnsupported, "send the body without a Content-Encoding")
	}
	header := c.request.Header.Get("Content-Type")
	if header == "application/json" {
		return nil
	}
	media, params, err := mime.ParseMediaType(header)
	if charset, ok := params["charset"]; err == nil && media == "application/json" && (!ok || strings.EqualFold(charset, "utf-8")) {
		return nil
	}
	return domain.Refuse(codeMediaTypeUnsupported, "send the body as Content-Type: application/json")
}

// The query parameters, each with what it must be. A wrong one becomes a fault
// and reads as absent.

func (c *call) queryTime(name string) (at time.Time) {
	text := c.query.Get(name)
	if text == "" && !c.query.Has(name) {
		return time.Time{}
	}
	// A + that was not percent-encoded arrives as a space; no time has one otherwise.
	at, err := parseTime(strings.Replace(text, " ", "+", 1))
	if err != nil {
		c.add("query."+name, wrongTime(text))
		return time.Time{}
	}
	return at
}

func (c *call) queryBool(name string) *bool {
	if !c.query.Has(name) {
		return nil
	}
	on := c.query.Get(name) == "true"
	if !on && c.query.Get(name) != "false" {
		c.add("query."+name, "must be true or false")
	}
	return &on
}

// defaultLimit is the size of a page that was not asked for in another size.
const (
	defaultLimit = 20
	maxLimit     = 100
)

func (c *call) queryLimit() int {
	if !c.query.Has("limit") {
		return defaultLimit
	}
	n, err := strconv.Atoi(c.query.Get("limit"))
	if err != nil || n < 1 || n > maxLimit {
		c.add("query.limit", "must be between 1 and "+strconv.Itoa(maxLimit))
		return defaultLimit
	}
	return n
}

func queryEnum[T ~string](c *call, name string, known []T) T {
	if !c.query.Has(name) {
		return ""
	}
	text := T(c.query.Get(name))
	if !slices.Contains(known, text) {
		words := make([]string, len(known))
		for i, k := range known {
			words[i] = string(k)
		}
		c.add("query."+name, "must be one of "+strings.Join(words, ", "))
		return ""
	}
	return text
}

// maxQueryText is the length of a parameter of free text in characters.
const maxQueryText = 255

// queryText reads a parameter of free text: 1 to maxQueryText characters.
func (c *call) queryText(name string) string {
	text := c.query.Get(name)
	if n := utf8.RuneCountInString(text); c.query.Has(name) && (n == 0 || n > maxQueryText) {
		c.add("query."+name, "must have 1 to "+strconv.Itoa(maxQueryText)+" characters")
	}
	return text
}

func (c *call) queryCustomer() string {
	text := c.query.Get("customer_id")
	if c.query.Has("customer_id") && !domain.ValidCustomer(text) {
		c.add("query.customer_id", "must be 1 to 128 characters of A-Z a-z 0-9 _ . : @ -")
	}
	return text
}

func (c *call) queryMethod(name string) domain.MethodID {
	id := domain.MethodID(c.query.Get(name))
	if c.query.Has(name) && !id.Valid() {
		c.add("query."+name, "must be the id of a payment method: pm_ and 32 hex digits")
	}
	return id
}
