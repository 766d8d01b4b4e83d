package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// canaries are texts that must be nowhere, by what they are.
type canaries struct {
	secret  map[string]string // text -> what it is
	counter int
	needles map[string][]byte // encoding of a text -> its bytes; built by search
}

// number makes a card number that is used once: Visa's, of 16 digits.
func (c *canaries) number(of string) string {
	c.counter++
	digits := fmt.Sprintf("4539%011d", 70000000000+c.counter*7919)
	sum := 0
	for i := range digits {
		d := int(digits[i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	number := digits + fmt.Sprint((10-sum%10)%10)
	c.secret[number] = "card number: " + of
	return number
}

// encodings are the forms in which a text is looked for.
func encodings(text string) map[string][]byte {
	raw := []byte(text)
	forms := map[string][]byte{
		"raw": raw, "hex": []byte(hex.EncodeToString(raw)), "HEX": []byte(strings.ToUpper(hex.EncodeToString(raw))),
	}
	var percent strings.Builder
	for _, b := range raw {
		fmt.Fprintf(&percent, "%%%02x", b)
	}
	forms["url"] = []byte(percent.String())
	if strings.Trim(text, "0123456789") == "" && len(text) == 16 {
		for name, sep := range map[string]string{"spaces": " ", "hyphens": "-", "dots": ".", "plus": "+", "url spaces": "%20"} {
			forms[name] = []byte(strings.Join([]string{text[:4], text[4:8], text[8:12], text[12:]}, sep))
		}
	}
	for offset := range 3 { // the text may begin anywhere in a group of three bytes
		padded := append(make([]byte, offset), raw...)
		first, last := (8*offset+5)/6, 8*len(padded)/6
		forms[fmt.Sprintf("base64+%d", offset)] = []byte(base64.RawStdEncoding.EncodeToString(padded)[first:last])
		forms[fmt.Sprintf("base64url+%d", offset)] = []byte(base64.RawURLEncoding.EncodeToString(padded)[first:last])
	}
	return forms
}

// search looks for every canary in every encoding, and returns what it found.
func (c *canaries) search(where string, in []byte) (hits []string) {
	if c.needles == nil {
		c.needles = map[string][]byte{}
		for text, what := range c.secret {
			for form, needle := range encodings(text) {
				c.needles[what+" ("+form+")"] = needle
			}
		}
	}
	for what, needle := range c.needles {
		if bytes.Contains(in, needle) {
			hits = append(hits, where+": "+what)
		}
	}
	return hits
}

// searchFolder reads every file below a folder.
func (c *canaries) searchFolder(t *testing.T, root string) (hits []string, size int) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		size += len(text)
		hits = append(hits, c.search(path, text)...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return hits, size
}

func TestTheSearchFindsWhatIsPlanted(t *testing.T) {
	c := &canaries{secret: map[string]string{}}
	number := c.number("planted")
	c.secret["pml_test_planted_secret"] = "key"
	for text := range c.secret {
		for form, needle := range encodings(text) {
			if found := c.search("here", slices.Concat([]byte("before "), needle, []byte(" after"))); len(found) == 0 {
				t.Errorf("%s is not found as %s", text, form)
			}
		}
	}
	for offset := range 3 {
		whole := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", offset) + number + "tail"))
		if len(c.search("here", []byte(whole))) == 0 {
			t.Errorf("base64 with %d bytes before it is not found", offset)
		}
	}
	if found := c.search("here", []byte("4539 7000 0000 0000")); len(found) > 0 {
		t.Errorf("found what is not there: %v", found)
	}
}

// sweep is a server at debug level, what was sent to it, and what it said.
type sweep struct {
	*instance
	canaries
	errors bytes.Buffer // bodies of refusals
	sent   int
}

// send makes a request and keeps the body of a refusal.
func (s *sweep) send(method, path, body string, header ...string) answer {
	s.t.Helper()
	a, err := s.try(http.DefaultClient, method, path, body, header...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.sent++
	if a.status >= 400 {
		s.errors.Write(a.body)
	}
	return a
}

// everyRoute sends card numbers through every call of the document: in the path, in
// the query, in headers, as a token, in a body and in one that is no JSON.
func (s *sweep) everyRoute() {
	document := s.get("/openapi.json").json(s.t)
	for path, item := range document["paths"].(map[string]any) {
		for verb := range item.(map[string]any) {
			method := strings.ToUpper(verb)
			at := method + " " + path
			in := func(place, text string) string { return strings.ReplaceAll(text, "{}", s.number(at+" "+place)) }
			plain := strings.NewReplacer("{customer_id}", "cus_1", "{id}", "pm_00000000000070008000000000000000", "{name}", "sandbox", "{organization}", "demo").Replace(path)
			body := ""
			if verb == "post" || verb == "put" || verb == "patch" {
				body = `{"number":"{}","token":"{}","card":{"number":"{}"},"metadata":{"{}":"{}"},"note":["{}"]}`
			}
			s.send(method, plain, in("body", body))
			s.send(method, plain, in("cut body", strings.TrimSuffix(body, "}")))
			s.send(method, plain+"?"+in("query", "q={}&{}=1"), "")
			s.send(method, strings.NewReplacer("{customer_id}", in("path", "{}"), "{id}", in("path", "{}"), "{name}", in("path", "{}"), "{organization}", in("path", "{}")).Replace(path), body)
			s.send(method, plain, body, "Idempotency-Key", in("header", "{}"), "Actor", in("header", "{}"), "Reason", in("header", "card {}"),
				"X-Request-Id", in("header", "{}"), "User-Agent", in("header", "{}"), "Cookie", in("header", "c={}"), "Setup-Intent-Secret", in("header", "{}"))
		}
	}
}

// secretCalls sends what is secret where it belongs.
func (s *sweep) secretCalls(code string) {
	const raw = "/v1/customers/cus_1/payment-methods/raw-card"
	card := func(of string) string {
		return fmt.Sprintf(`{"number":%q,"expiration_date":"12/34","security_code":%q}`, s.number(of), code)
	}
	if a := s.send("POST", raw, card("attached"), "Idempotency-Key", "raw-1"); a.status != http.StatusCreated {
		s.t.Fatalf("%d %s", a.status, a.body)
	}
	s.send("POST", raw, card("attached again"), "Idempotency-Key", "raw-1")
	s.send("POST", raw, card("cut off")[:40])
	s.send("POST", raw, strings.Replace(card("escaped"), `"12/34"`, `"12\/34"`, 1))
	s.send("POST", raw, strings.Repeat(" ", 5000)+card("too large"))
	s.send("POST", raw, card("as text"), "Content-Type", "text/plain")

	issued := s.send("POST", "/v1/api-keys", `{"scopes":["payment-methods.read"]}`, "Idempotency-Key", "key-1").json(s.t)["key"].(string)
	s.secret[issued] = "API key"
	s.secret[issued[len(issued)-49:len(issued)-6]] = "secret part of an API key"
	for _, key := range []string{issued, issued[:len(issued)-1] + "!"} {
		s.send("GET", "/v1/payment-methods", "", "Authorization", "Bearer "+key)
		s.send("POST", "/v1/payment-methods", "{}", "Authorization", "Bearer "+key)
	}
	intent := s.send("POST", "/v1/setup-intents", `{"customer_id":"cus_1","token":"tok_visa_3ds","confirm":true}`).json(s.t)
	secret := intent["client_secret"].(string)
	_, mac, _ := strings.Cut(secret, "_secret_")
	s.secret[secret], s.secret[mac] = "client secret", "the MAC of a client secret"
	target := "/v1/setup-intents/" + intent["id"].(string)
	s.send("GET", target, "", "Setup-Intent-Secret", secret)
	s.send("POST", target+"/confirm", "{}", "Setup-Intent-Secret", secret)
	s.send("GET", target+"?secret="+secret, "")
	s.send("POST", "/v1/gateways/sandbox/demo/webhooks", `{"id":"evt_1","token":"tok_visa","detached":true}`, "Sandbox-Signature", "t=1,v1=00")
}

// Card numbers, security codes, keys and secrets go through every call, at debug
// level; then everything that the server wrote is searched. What may be kept is
// found there, so the search works.
func TestNothingSecretIsWrittenAnywhere(t *testing.T) {
	dir := t.TempDir()
	s := &sweep{canaries: canaries{secret: map[string]string{}}}
	secrets := map[string]string{"webhook secret": "whsec_canary_51c1d0a7f2", "gateway key": "sk_test_canary_93b7e1aa0c"}
	for what, text := range secrets {
		s.secret[text] = what
	}
	config := write(t, "gateways.yml", fmt.Sprintf(`gateways:
  - {name: eu, kind: stripe, organizations: [{name: demo, key-file: %s}]}
  - {name: sandbox, kind: sandbox, organizations: [{name: demo, webhook-secret-file: %s}]}
`, write(t, "key", secrets["gateway key"]), write(t, "webhook", secrets["webhook secret"])))
	s.instance = serve(t, dir, "--config", config, "--raw-cards", "--log-level", "debug", "--public-url", "http://ledger.test")
	const code = "7391"
	s.secretCalls(code)
	s.everyRoute()
	s.secret[`security_code":"`+code], s.secret[`security_code=`+code] = "security code", "security code in a form"

	const planted = "planted-canary-2f6b1c"
	s.call(http.StatusCreated, http.MethodPost, "/v1/customers/cus_1/payment-methods", `{"type":"card","token":"tok_amex","external_id":"`+planted+`"}`)
	seen := map[string][]byte{"error bodies": s.errors.Bytes(), "metrics": s.get("/metrics").body, "events": s.get("/v1/events?limit=100").body}
	s.stream(events(s.instance))
	control := canaries{secret: map[string]string{planted: "control"}}
	var hits []string
	size := 0
	look := func(parts ...string) {
		t.Helper()
		found, n := s.searchFolder(t, dir)
		hits, size = append(hits, found...), size+n
		for _, part := range parts {
			if found, _ := control.searchFolder(t, filepath.Join(dir, part)); len(found) == 0 {
				t.Errorf("what may be kept is not found in %s: the search sees nothing there", part)
			}
		}
	}
	// A log that was closed is compressed, and views that were not are in memory:
	// so after a kill, and after an end.
	s.kill()
	look("log", "nats")
	again := serve(t, dir, "--config", config, "--log-level", "debug")
	seen["metrics after the restart"] = again.get("/metrics").body
	again.terminate()
	look("views")
	seen["stdout and stderr"], seen["stdout and stderr after the restart"] = []byte(s.log()), []byte(again.log())
	_, exported, talk := offline(dir, "events", "export")
	seen["export"], seen["talk of the export"] = []byte(exported), []byte(talk)
	for where, text := range seen {
		hits = append(hits, s.search(where, text)...)
		size += len(text)
	}
	if len(hits) > 0 {
		t.Errorf("%d leaks:\n%s", len(hits), strings.Join(hits[:min(len(hits), 20)], "\n"))
	}
	if len(control.search("export", []byte(exported))) == 0 || !json.Valid(bytes.SplitN([]byte(exported), []byte("\n"), 2)[0]) {
		t.Error("what may be kept is not found in the export")
	}
	t.Logf("%d canaries in %d requests; %d encodings of them searched in %d bytes: %d hits; the planted one was found", len(s.secret), s.sent, len(s.needles), size, len(hits))
}
