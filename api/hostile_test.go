package api

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pmledger/pmledger/domain"
)

func TestHostileBodiesGetOneClearAnswer(t *testing.T) {
	b := newBench(t)
	const target = "/v1/customers/cus_1/payment-methods"
	fill := func(n int) string { return `{"type":"card","token":"` + strings.Repeat("x", n) + `"}` }
	for name, c := range map[string]struct {
		body        string
		contentType string
		status      int
		code        domain.Code
	}{
		"exactly the limit":        {fill(maxBody - len(fill(0))), "application/json", 422, "validation.failed"},
		"one byte more":            {fill(maxBody - len(fill(0)) + 1), "application/json", 413, "body.too_large"},
		"a megabyte":               {strings.Repeat(" ", 1<<20), "application/json", 413, "body.too_large"},
		"another type":             {visa, "text/plain", 415, "media_type.unsupported"},
		"no type":                  {visa, "", 415, "media_type.unsupported"},
		"a form":                   {"type=card&token=tok_visa", "application/x-www-form-urlencoded", 415, "media_type.unsupported"},
		"another charset":          {visa, "application/json; charset=latin1", 415, "media_type.unsupported"},
		"not a type":               {visa, "application/json;;;", 415, "media_type.unsupported"},
		"charset":                  {visa, "application/json; charset=UTF-8", 201, ""},
		"upper-case type":          {visa, "Application/JSON", 200, ""},
		"deep":                     {strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), "application/json", 400, "body.malformed"},
		"very deep":                {strings.Repeat("[", 60000), "application/json", 400, "body.malformed"},
		"not UTF-8":                {"{\"token\":\"\xff\"}", "application/json", 400, "body.malformed"},
		"NUL":                      {"{\"token\":\"\x00\"}", "application/json", 400, "body.malformed"},
		"duplicate":                {`{"type":"card","token":"a","token":"b"}`, "application/json", 400, "body.malformed"},
		"two documents":            {visa + visa, "application/json", 400, "body.malformed"},
		"empty":                    {"", "application/json", 400, "body.malformed"},
		"a string":                 {`"x"`, "application/json", 422, "validation.failed"},
		"null":                     {`null`, "application/json", 422, "validation.failed"},
		"wrong case":               {`{"type":"card","TOKEN":"tok_visa"}`, "application/json", 422, "validation.failed"},
		"long key of metadata":     {`{"type":"card","token":"t","metadata":{"` + strings.Repeat("k", 41) + `":""}}`, "application/json", 422, "validation.failed"},
		"empty key":                {`{"type":"card","token":"t","metadata":{"":""}}`, "application/json", 422, "validation.failed"},
		"long value":               {`{"type":"card","token":"t","metadata":{"k":"` + strings.Repeat("ä", 501) + `"}}`, "application/json", 422, "validation.failed"},
		"value of 500 characters":  {`{"type":"card","token":"tok_visa","metadata":{"k":"` + strings.Repeat("ä", 500) + `"}}`, "application/json", 200, ""},
		"number for a boolean":     {`{"type":"card","token":"t","set_as_default":1}`, "application/json", 422, "validation.failed"},
		"fraction for an integer":  {`{"type":"card","token":"t","fingerprint":"f","card":{"brand":"v","last4":"1111","exp_month":1.5,"exp_year":2e3}}`, "application/json", 422, "validation.failed"},
		"two digits of a year":     {`{"type":"card","token":"t","fingerprint":"f","card":{"brand":"v","last4":"1111","exp_month":1,"exp_year":30}}`, "application/json", 422, "validation.failed"},
		"space in a token":         {`{"type":"card","token":"tok visa"}`, "application/json", 422, "validation.failed"},
		"a thousand unknown names": {manyMembers(1000) + "}", "application/json", 422, "validation.failed"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", target, strings.NewReader(c.body))
			r.Header.Set("Authorization", "Bearer "+devKey)
			if c.contentType != "" {
				r.Header.Set("Content-Type", c.contentType)
			}
			w := httptest.NewRecorder()
			b.handler.ServeHTTP(w, r)
			if c.code != "" {
				b.refused(c.status, c.code, answer{w.Code, w.Header(), w.Body.String()})
			} else if w.Code/100 != 2 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if w.Body.Len() > 32<<10 {
				t.Errorf("an answer of %d bytes", w.Body.Len())
			}
		})
	}
}

// The rest is asked over a socket, as only net/http sees it.
func overSocket(t *testing.T, b *bench, request string) string {
	t.Helper()
	server := httptest.NewServer(b.handler)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

func TestChunkedAndCutBodies(t *testing.T) {
	b := newBench(t)
	head := "POST /v1/customers/cus_1/payment-methods HTTP/1.1\nHost: x\nConnection: close\nAuthorization: Bearer " + devKey + "\nContent-Type: application/json\n"
	chunked := head + "Transfer-Encoding: chunked\n\n" + fmt.Sprintf("%x\n%s\n0\n\n", len(visa), visa)
	if a := overSocket(t, b, chunked); !strings.HasPrefix(a, "HTTP/1.1 201 ") {
		t.Error(a)
	}
	large := head + "Transfer-Encoding: chunked\n\n" + strings.Repeat(fmt.Sprintf("%x\n%s\n", 4096, strings.Repeat(" ", 4096)), 17) + "0\n\n"
	if a := overSocket(t, b, large); !strings.HasPrefix(a, "HTTP/1.1 413 ") || !strings.Contains(a, "body.too_large") {
		t.Error(a)
	}
	get := "GET /v1/payment-methods HTTP/1.1\nHost: x\nConnection: close\nAuthorization: Bearer " + devKey + "\n"
	if a := overSocket(t, b, get+"Transfer-Encoding: chunked\n\n0\n\n"); !strings.HasPrefix(a, "HTTP/1.1 200 ") {
		t.Error(a)
	}
	if a := overSocket(t, b, get+"Transfer-Encoding: chunked\n\n1\nx\n0\n\n"); !strings.HasPrefix(a, "HTTP/1.1 400 ") {
		t.Error(a)
	}
	head = strings.Replace(head, "POST ", "HEAD ", 1)
	if a := overSocket(t, b, head+"\n"); !strings.HasPrefix(a, "HTTP/1.1 200 ") || strings.Contains(a, `"object"`) {
		t.Error(a)
	}
}

// net/http has a limit of its own, and answers in plain text; below that one the
// answer is a problem like every other.
func TestLargeHeadersAreRefused(t *testing.T) {
	b := newBench(t)
	b.refused(431, "headers.too_large", b.do("GET", "/v1/organization", "", "X-Large: "+strings.Repeat("a", maxHeaders)))
	b.refused(431, "headers.too_large", b.do("GET", "/v1/payment-methods?external_id="+strings.Repeat("a", maxHeaders), ""))
	b.refused(431, "headers.too_large", b.do("GET", "/nowhere", "", "X-Large: "+strings.Repeat("a", maxHeaders)))
	b.want(200, b.do("GET", "/v1/organization", "", "X-Large: "+strings.Repeat("a", maxHeaders-1000)))
}

// Whoever is in front of us may have read the other one.
func TestAHeaderThatDecidesMayBeSentOnce(t *testing.T) {
	b := newBench(t)
	other := "Authorization: Bearer " + b.key("acme", domain.ModeTest, ScopeMethodsRead)
	b.refused(401, "unauthorized", b.do("GET", "/v1/payment-methods", "", other))
	b.refused(422, "validation.failed", b.do("GET", "/v1/payment-methods", "", "Ledger-Min-Position: 0", "Ledger-Min-Position: head"))
	s := b.intent(b.do("POST", "/v1/setup-intents", `{"customer_id":"cus_1"}`))
	secret := "Setup-Intent-Secret: " + s.ClientSecret
	b.want(200, b.as("", "GET", "/v1/setup-intents/"+s.ID, "", secret))
	b.refused(401, "unauthorized", b.as("", "GET", "/v1/setup-intents/"+s.ID, "", secret, "Setup-Intent-Secret: x"))
}

func TestTimesAreThoseOfRFC3339(t *testing.T) {
	b := newBench(t)
	for text, status := range map[string]int{
		"2020-01-01T01:00:00Z": 200, "2020-01-01T01:00:00.5Z": 200, "2020-01-01T01:00:00%2B02:00": 200,
		"2020-01-01T1:00:00Z": 422, "2020-01-01T00:00:00,5Z": 422, "2020-01-01T00:00:00%2B24:00": 422, "2020-01-01 00:00:00Z": 422, "2020-02-30T00:00:00Z": 422,
	} {
		if a := b.do("GET", "/v1/payment-methods?created_after="+strings.ReplaceAll(text, " ", "%20"), ""); a.status != status {
			t.Errorf("%s: %d %s", text, a.status, a.body)
		}
	}
}

func TestACustomersListTakesItsCustomerAsAFilter(t *testing.T) {
	b := newBench(t)
	b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", visa))
	if a := b.want(200, b.do("GET", "/v1/customers/cus_1/payment-methods?customer_id=cus_1", "")); !strings.Contains(a.body, "pm_") {
		t.Error(a.body)
	}
	b.refused(422, "validation.failed", b.do("GET", "/v1/customers/cus_1/payment-methods?customer_id=cus_2", ""))
}

func TestEncodedBodiesAreRefused(t *testing.T) {
	b := newBench(t)
	b.refused(415, "media_type.unsupported", b.do("POST", "/v1/payment-methods", visa, "Content-Encoding: gzip"))
	b.want(201, b.do("POST", "/v1/payment-methods", visa, "Content-Encoding: identity"))
}

func TestPathsAreDecodedOnceBeforeTheyAreChecked(t *testing.T) {
	b := newBench(t)
	b.want(201, b.do("POST", "/v1/customers/a@b:c/payment-methods", visa))
	for target, status := range map[string]int{
		"/v1/customers/a%40b%3Ac/payment-methods":                        200,
		"/v1/customers/a@b:c/payment-methods":                            200,
		"/v1/customers/a%2540b:c/payment-methods":                        422, // decodes to a%40b:c
		"/v1/customers/a%2Fb/payment-methods":                            422,
		"/v1/customers/%2e%2e/payment-methods":                           422,
		"/v1/customers/%2e/payment-methods":                              422,
		"/v1/customers/../payment-methods":                               422,
		"/v1/customers/%00/payment-methods":                              422,
		"/v1/customers/%c3%a4/payment-methods":                           422,
		"/v1/customers/~pm_1/payment-methods":                            422,
		"/v1/customers/" + strings.Repeat("a", 128) + "/payment-methods": 200,
		"/v1/customers/" + strings.Repeat("a", 129) + "/payment-methods": 422,
		"/v1/customers//payment-methods":                                 422,
		"/v1/payment-methods/":                                           404,
		"/v1//payment-methods":                                           404,
		"/v1/payment-methods/%2e%2e":                                     404,
		"/V1/payment-methods":                                            404,
	} {
		if a := b.do("GET", target, ""); a.status != status {
			t.Errorf("%s: %d %s", target, a.status, a.body)
		}
	}
	list := b.want(200, b.do("GET", "/v1/customers/a%40b%3Ac/payment-methods?limit=1", ""))
	if !strings.Contains(list.body, `"customer_id":"a@b:c"`) {
		t.Error(list.body)
	}
}

func TestAKeyHasItsRateAndItsHeaders(t *testing.T) {
	b := newBench(t, func(o *Options) { o.RateLimit = RateLimit{PerSecond: 2, Burst: 3} })
	key, other := b.key("acme", domain.ModeTest), b.key("acme", domain.ModeTest)
	for i := range 3 {
		a := b.want(200, b.as(key, "GET", "/v1/organization", ""))
		left := fmt.Sprint(2 - i)
		if a.header.Get("RateLimit-Limit") != "3" || a.header.Get("RateLimit-Remaining") != left ||
			a.header.Get("RateLimit-Policy") != `"default";q=3;w=2` || !strings.HasPrefix(a.header.Get("RateLimit"), `"default";r=`+left+";t=") {
			t.Errorf("request %d: %v", i, a.header)
		}
	}
	a := b.as(key, "GET", "/v1/organization", "")
	b.refused(429, "rate_limited", a)
	if a.header.Get("Retry-After") != "1" || a.header.Get("RateLimit-Remaining") != "0" || a.header.Get("RateLimit-Reset") != "2" {
		t.Errorf("%v", a.header)
	}
	b.want(200, b.as(other, "GET", "/v1/organization", ""))
	b.clock.add(time.Second)
	b.want(200, b.as(key, "GET", "/v1/organization", ""))
}

// someLimit is a rate limit that the tests below do not reach.
func someLimit(o *Options) { o.RateLimit = RateLimit{PerSecond: 1000} }

func TestGuessingKeysIsSlowedDownForTheGuesserOnly(t *testing.T) {
	b := newBench(t, someLimit)
	limited := 0
	for range 40 {
		wrong, _, _ := MintKey(domain.ModeTest, nil)
		switch a := b.as(wrong, "GET", "/v1/organization", ""); a.status {
		case 401:
		case 429:
			limited++
			if a.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		default:
			t.Fatal(a.status)
		}
	}
	if limited != 40-failuresBurst {
		t.Errorf("%d of 40 guesses were refused", limited)
	}
	b.want(200, b.do("GET", "/v1/organization", ""))
	b.clock.add(time.Minute)
	b.want(401, b.as("x", "GET", "/v1/organization", ""))
}

// A request without a key guesses nothing, and where there is no rate limit, as in
// serve --dev, there is none for guesses.
func TestMissingKeysAndServersWithoutLimitsSlowNobodyDown(t *testing.T) {
	limited, unlimited := newBench(t, someLimit), newBench(t)
	wrong, _, _ := MintKey(domain.ModeTest, nil)
	for range 2 * failuresBurst {
		limited.refused(401, "unauthorized", limited.as("", "GET", "/v1/organization", ""))
		unlimited.refused(401, "unauthorized", unlimited.as(wrong, "GET", "/v1/organization", ""))
	}
}

func TestBucketsAreBounded(t *testing.T) {
	now := time.Now()
	l := newLimits(RateLimit{PerSecond: 1}, func() time.Time { return now })
	for i := range 3 * maxBuckets {
		if l.strike(fmt.Sprint(i)); len(l.failures) > maxBuckets {
			t.Fatalf("%d buckets", len(l.failures))
		}
	}

	l = newLimits(RateLimit{PerSecond: 1}, func() time.Time { return now })
	for i := range maxBuckets - 1 {
		l.strike(fmt.Sprint(i))
	}
	now = now.Add(3 * time.Second) // those are full again
	for range failuresBurst {
		l.strike("guesser")
	}
	l.strike("one more")
	if !l.struckOut("guesser") || len(l.failures) != 2 {
		t.Errorf("%d buckets are left", len(l.failures))
	}
}

func TestMetricsAndLogKnowRoutesAndNotPaths(t *testing.T) {
	registry := prometheus.NewRegistry()
	b := newBench(t, func(o *Options) {
		o.Registerer = registry
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics here") })
	})
	b.want(200, b.do("GET", "/v1/customers/very-private/payment-methods?external_id=also-private", ""))
	b.want(404, b.do("GET", "/private/path", ""))
	if a := b.want(200, b.as("", "GET", "/metrics", "")); a.body != "metrics here" {
		t.Error(a.body)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for _, f := range families {
		fmt.Fprintln(&text, f)
	}
	for _, want := range []string{"pmledger_http_requests_total", "pmledger_http_request_seconds", "/v1/customers/:customer_id/payment-methods", `"404"`} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%s is not in the metrics", want)
		}
	}
	for _, private := range []string{"private", "demo"} {
		if strings.Contains(text.String(), private) {
			t.Errorf("%s is in the metrics", private)
		}
	}
	if log := b.log.String(); strings.Contains(log, "private") || !strings.Contains(log, "route=/v1/customers/:customer_id/payment-methods status=200") {
		t.Error(log)
	}
}
