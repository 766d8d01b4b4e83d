package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// paper is the committed document, with what it says made ready to be checked.
type paper struct {
	mu       sync.Mutex
	routes   []*route
	document map[string]any
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema
	checked  map[string]int // answers, by test and place in the document
}

// enough answers of one kind are checked in one test: campaigns ask hundreds of
// thousands of times.
const enough = 200

// hasEnough counts the answers of a kind, and tells whether those before it suffice.
func (p *paper) hasEnough(t testing.TB, at []string, status int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	kind := fmt.Sprint(t.Name(), at, status)
	p.checked[kind]++
	return p.checked[kind] > enough
}

// openPaper reads api/openapi.json once for all tests.
var openPaper = sync.OnceValues(func() (*paper, error) {
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		return nil, err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	b, err := newBook(routes(true))
	if err != nil {
		return nil, err
	}
	p := &paper{routes: b.routes, document: document.(map[string]any), compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}, checked: map[string]int{}}
	p.compiler.DefaultDraft(jsonschema.Draft2020)
	p.compiler.AssertFormat()
	return p, p.compiler.AddResource("openapi.json", document)
})

func papers(t testing.TB) *paper {
	t.Helper()
	p, err := openPaper()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wrong says how a JSON text is not what the schema at a place asks for, "" when it is.
func (p *paper) wrong(text []byte, place ...string) string {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return "is not JSON: " + err.Error()
	}
	return p.wrongValue(v, place...)
}

func (p *paper) wrongValue(v any, place ...string) string {
	schema, err := p.schema(place)
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func (p *paper) schema(place []string) (schema *jsonschema.Schema, err error) {
	pointer := ""
	for _, part := range place {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(part)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if schema = p.schemas[pointer]; schema == nil {
		schema, err = p.compiler.Compile("openapi.json#" + (&url.URL{Path: pointer}).EscapedPath())
		p.schemas[pointer] = schema
	}
	return schema, err
}

// find is what stands in the document at a place, nil for nothing.
func (p *paper) find(place ...string) any {
	var at any = p.document
	for _, name := range place {
		object, _ := at.(map[string]any)
		at = object[name]
	}
	return at
}

// answers is where the document speaks of an answer to a call.
func (p *paper) answers(call []string, status string) []string {
	at := append(slices.Clone(call), "responses", status)
	if named, is := p.find(append(at, "$ref")...).(string); is {
		return strings.Split(named, "/")[1:]
	}
	return at
}

// place is where the document speaks of a call, nil when it does not.
func (p *paper) place(method, target string) []string {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	path, _, _ := strings.Cut(target, "?")
	for _, r := range p.routes {
		want, have := strings.Split(r.path, "/"), strings.Split(path, "/")
		fits := func(w, h string) bool { return w == h || strings.HasPrefix(w, ":") && h != "" }
		if r.method == method && len(want) == len(have) && slices.EqualFunc(want, have, fits) {
			return []string{"paths", openPath(r.path), strings.ToLower(method)}
		}
	}
	return nil
}

// transport are the headers that every HTTP answer may have.
var transport = []string{
	"Content-Type", "Content-Length", "Cache-Control", "Connection", "X-Content-Type-Options", "Referrer-Policy", "Content-Security-Policy",
}

// holds tells how a request that was taken, or an answer, is not as the document says.
func (p *paper) holds(t testing.TB, method, target, body string, a answer) (problems []string) {
	request := p.place(method, target)
	if request == nil || a.status == http.StatusMethodNotAllowed || p.hasEnough(t, request, a.status) {
		return nil
	}
	at := p.answers(request, strconv.Itoa(a.status))
	response, _ := p.find(at...).(map[string]any)
	if response == nil {
		return []string{"the status " + strconv.Itoa(a.status) + " is not documented: " + a.body}
	}
	headers, _ := response["headers"].(map[string]any)
	for name := range a.header {
		same := func(known string) bool { return strings.EqualFold(known, name) }
		if !slices.ContainsFunc(transport, same) && !containsKey(headers, same) {
			problems = append(problems, "the header "+name+" of "+strconv.Itoa(a.status)+" is not documented")
		}
	}
	if a.status < 300 && body != "" && p.find(append(slices.Clone(request), "requestBody")...) != nil {
		schema := append(slices.Clone(request), "requestBody", "content", "application/json", "schema")
		if p.find(schema...) != nil {
			if problem := p.wrong([]byte(body), schema...); problem != "" {
				problems = append(problems, "a body that is not as documented was taken: "+problem)
			}
		}
	}
	if method == http.MethodHead || a.body == "" {
		return problems
	}
	sent := a.header.Get("Content-Type")
	if sent == "" {
		sent = http.DetectContentType([]byte(a.body)) // as net/http does
	}
	media, _, _ := mime.ParseMediaType(sent)
	at = append(at, "content", media, "schema")
	switch {
	case p.find(at...) == nil:
		problems = append(problems, "the media type "+media+" of "+strconv.Itoa(a.status)+" is not documented")
	case strings.HasSuffix(media, "json"):
		if problem := p.wrong([]byte(a.body), at...); problem != "" {
			problems = append(problems, "the answer is not as documented: "+problem+"\n"+a.body)
		}
	}
	if media == "application/problem+json" {
		var said Problem
		codes, _ := response["x-codes"].([]any)
		if err := json.Unmarshal([]byte(a.body), &said); err != nil || !slices.Contains(codes, any(string(said.Code))) {
			problems = append(problems, "the code "+string(said.Code)+" of "+strconv.Itoa(a.status)+" is not documented")
		}
	}
	return problems
}

func containsKey(all map[string]any, same func(string) bool) bool {
	for name := range all {
		if same(name) {
			return true
		}
	}
	return false
}

// An event shows a payment method, a setup intent or nothing; the document knows each.
func TestTheDocumentKnowsWhatEventsShow(t *testing.T) {
	p, place := papers(t), []string{"components", "schemas", "EventData"}
	for text, right := range map[string]bool{
		`{"object":null,"previous_attributes":{},"from":"pm_1","to":null,"cause":"requested"}`: true,
		`{"object":{"object":"setup_intent"},"previous_attributes":{}}`:                        false,
	} {
		if problem := p.wrong([]byte(text), place...); (problem == "") != right {
			t.Errorf("%s: %s", text, problem)
		}
	}
}

// The document says what an answer to anything may be, so every call has these.
func TestTheDocumentIsWholeForEveryCall(t *testing.T) {
	p := papers(t)
	tags := map[any]bool{}
	for _, tag := range p.document["tags"].([]any) {
		tags[tag.(map[string]any)["name"]] = true
	}
	for _, r := range p.routes {
		at := p.place(r.method, r.path)
		operation := p.find(at...).(map[string]any)
		name := r.method + " " + r.path
		for _, tag := range operation["tags"].([]any) {
			if !tags[tag] {
				t.Errorf("%s: the tag %s is not declared", name, tag)
			}
		}
		alone := slices.ContainsFunc(asList(operation["security"]), func(s any) bool { return s.(map[string]any)["clientSecret"] != nil })
		if alone != r.clientSide {
			t.Errorf("%s: the client secret is an alternative: %v, want %v", name, alone, r.clientSide)
		}
		for status := range operation["responses"].(map[string]any) {
			response := p.find(p.answers(at, status)...).(map[string]any)
			n, _ := strconv.Atoi(status)
			if bare := n == 204 || n == 303 || n == 304; bare == (response["content"] != nil) {
				t.Errorf("%s: %s has content: %v", name, status, !bare)
			}
			headers, _ := response["headers"].(map[string]any)
			for header, wanted := range map[string]bool{"X-Request-Id": true, "Retry-After": waits(n), "WWW-Authenticate": n == 401, "Access-Control-Allow-Origin": r.clientSide} {
				if (headers[header] != nil) != wanted {
					t.Errorf("%s: %s has the header %s: %v", name, status, header, !wanted)
				}
			}
		}
		if operation["responses"].(map[string]any)["431"] == nil {
			t.Errorf("%s: 431 is not documented", name)
		}
		if (operation["requestBody"] != nil) != (r.body != nil || r.ownBody) {
			t.Errorf("%s: its body is not documented", name)
		}
	}
	if p.find("components", "securitySchemes", "clientSecret", "name") != secretHeader {
		t.Error("the client secret is no security scheme")
	}
	codes := p.document["x-problem-codes"].(map[string]any)
	for code, o := range outcomes {
		if n, ok := codes[string(code)].(json.Number); !ok || n.String() != strconv.Itoa(o.status) {
			t.Errorf("the code %s is listed with status %v", code, codes[string(code)])
		}
	}
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

// Words that are not JSON Schema's are marked as such, and what may be null says so
// in its enumeration too.
func TestTheDocumentSpeaksJSONSchema(t *testing.T) {
	var look func(at string, v any)
	look = func(at string, v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				look(at, item)
			}
		case map[string]any:
			types, _ := v["type"].([]any)
			if values, is := v["enum"].([]any); is && slices.Contains(types, any("null")) && !slices.Contains(values, nil) {
				t.Errorf("%s: null passes the type and not the enumeration", at)
			}
			if v["patternDescription"] != nil || v["format"] == "time-zone" {
				t.Errorf("%s has a word that is not JSON Schema's", at)
			}
			for name, inner := range v {
				look(at+"/"+name, inner)
			}
		}
	}
	look("", papers(t).document)
}

// What a parameter of the query may be is what the server takes, to the letter.
func TestParametersAreTakenAsDocumented(t *testing.T) {
	b := newBench(t)
	p := papers(t)
	texts := []string{
		"", "0", "1", "20", "100", "101", "-1", "x", "true", "false", "TRUE", "card", "Card", "active", "detached", "gone", "cus_1", ".", "..", "...", "a b", "\u00e4",
		strings.Repeat("x", 128), strings.Repeat("x", 129), strings.Repeat("\u00e4", 255), strings.Repeat("x", 256), "2020-01-31T12:00:00Z", "2020-01-31",
		"pm_01930000000070008000000000000001", "PM_01930000000070008000000000000001", "payment_method.expiring", "payment_method", "expiring.Soon",
	}
	for _, r := range p.routes {
		at := p.place(r.method, r.path)
		if r.scope == scopePublic || !r.isRead() {
			continue
		}
		for i, parameter := range p.find(append(at, "parameters")...).([]any) {
			of := parameter.(map[string]any)
			name := of["name"].(string)
			if of["in"] != "query" || name == "cursor" || name == "customer_id" && strings.Contains(r.path, ":customer_id") {
				continue // its own code; the one in the path, or none
			}
			kind := of["schema"].(map[string]any)["type"]
			for _, text := range texts {
				query := url.Values{name: {text}}
				if name == "as_of" && r.path == "/v1/payment-methods" {
					query.Set("customer_id", "cus_1")
				}
				target := strings.NewReplacer(":customer_id", "cus_1", ":id", "pm_01930000000070008000000000000001").Replace(r.path)
				a := b.do(r.method, target+"?"+query.Encode(), "")
				refused := a.status == 422 && placesOf(t, a) == "query."+name
				var v any = text
				if kind != "string" && json.Unmarshal([]byte(text), &v) != nil {
					v = text
				}
				if problem := p.wrongValue(v, append(at, "parameters", strconv.Itoa(i), "schema")...); refused != (problem != "") {
					t.Errorf("%s %s %s=%q: refused is %v, and the document says %q", r.method, r.path, name, text, refused, problem)
				}
			}
		}
	}
}

// What names a customer or a subscription in a path is taken as documented, too.
func TestNamesInAPathAreTakenAsDocumented(t *testing.T) {
	b := newBench(t)
	p := papers(t)
	for _, path := range []string{"/v1/customers/:customer_id/payment-methods", "/v1/subscriptions/:id"} {
		at := append(p.place("GET", path), "parameters")
		for i, parameter := range p.find(at...).([]any) {
			if parameter.(map[string]any)["in"] != "path" {
				continue
			}
			for _, text := range []string{"x", "a b", "%", "\u00e4", "a.b:c@d-e_F", "..", strings.Repeat("x", 128), strings.Repeat("x", 129)} {
				name, _, _ := strings.Cut(path[strings.Index(path, ":"):], "/")
				escaped := strings.ReplaceAll(url.PathEscape(text), ".", "%2E")
				a := b.do("GET", strings.Replace(path, name, escaped, 1), "")
				problem := p.wrongValue(text, append(at, strconv.Itoa(i), "schema")...)
				if refused := a.status == 422; refused != (problem != "") {
					t.Errorf("%s %q: refused is %v, and the document says %q: %s", path, text, refused, problem, a.body)
				}
			}
		}
	}
}
