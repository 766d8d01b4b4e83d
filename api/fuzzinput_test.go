package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
)

// A cursor leads on only where the server made it, for that very list.
func FuzzCursor(f *testing.F) {
	b := newBench(f)
	for _, token := range []string{"tok_visa", "tok_amex", "tok_discover"} {
		b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", `{"type":"card","token":"`+token+`"}`))
	}
	lists := []string{"/v1/payment-methods?limit=1", "/v1/events?limit=1", "/v1/customers/cus_1/payment-methods?limit=1", "/v1/payment-methods?limit=1&type=card"}
	issued := make([]string, len(lists))
	for i, list := range lists {
		_, after, _ := strings.Cut(b.want(200, b.do("GET", list, "")).body, `"next_cursor":"`)
		issued[i], _, _ = strings.Cut(after, `"`)
		f.Add(issued[i])
	}
	f.Add("")
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, cursor string) {
		b.t = t
		for i, list := range lists {
			a := b.do("GET", list+"&cursor="+url.QueryEscape(cursor), "")
			if made := cursor == issued[i]; made != (a.status == 200) || !made && a.status != 422 {
				t.Fatalf("%s with cursor %q: %d %s", list, cursor, a.status, a.body)
			}
		}
	})
}

// What is taken for an API key is one, to the letter.
func FuzzParseKey(f *testing.F) {
	for _, mode := range []domain.Mode{domain.ModeTest, domain.ModeLive} {
		text, _, err := MintKey(mode, &countingReader{})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(strings.ToUpper(text))
		f.Add(text[:len(text)-1])
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParseKey(text)
		if err != nil {
			return
		}
		body := "pml_" + string(key.Mode) + "_" + key.ID + "_" + key.Secret
		if body+checksum(body) != text || len(key.ID) != keyIDSize || len(key.Secret) != keySecretSize {
			t.Fatalf("%q is taken for %+v", text, key)
		}
	})
}

// A path parameter is decoded once and then must be a name; a time in a query must
// be one. Neither is shown when it is not.
func FuzzPathAndTime(f *testing.F) {
	for _, seed := range []string{"cus_1", "..", "a%2fb", "4242424242424242", "\x00", "2026-06-01T12:00:00Z", "2026-06-01T12:00:00.5+02:00", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00-23:59", "\xff"} {
		f.Add(seed)
	}
	b := newBench(f)
	f.Fuzz(func(t *testing.T, text string) {
		b.t = t
		if len(text) > 4000 {
			return
		}
		a := b.do("GET", "/v1/customers/"+url.PathEscape(text)+"/payment-methods", "")
		if text != "" && !strings.Contains(text, "/") || strings.Contains(url.PathEscape(text), "%2F") {
			if good := domain.ValidCustomer(text) && !domain.ContainsPAN(text); good != (a.status == 200) || !good && a.status != 422 {
				t.Fatalf("%q as a name: %d %s", text, a.status, a.body)
			}
		}
		a = b.do("GET", "/v1/customers/cus_1/payment-methods?as_of="+url.QueryEscape(text), "")
		at, err := parseTime(strings.Replace(text, " ", "+", 1))
		if good := err == nil && !at.After(b.clock.Now()) && !domain.ContainsPAN(text); good != (a.status == 200) || !good && a.status != 422 {
			t.Fatalf("%q as a time: %d %s", text, a.status, a.body)
		}
		if err != nil {
			return
		}
		if again, err := parseTime(at.Format(time.RFC3339Nano)); at.Year() >= 0 && at.Year() <= 9999 && (err != nil || !again.Equal(at)) {
			t.Fatalf("%q is %s, and that is %s (%v)", text, at, again, err)
		}
	})
}

// Versions that If-Match names stand in it, in quotes; without one nothing matches,
// unless it says that anything does.
func FuzzIfMatch(f *testing.F) {
	for _, seed := range []string{`"1"`, `"1", "2"`, `*`, `W/"1"`, `""`, `"18446744073709551615"`, `"-1"`, `"+1"`, `"1`, `,`, `"01"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodPatch, "/", nil)
		r.Header["If-Match"] = []string{header}
		versions := (&call{request: r}).ifMatch()
		tags := strings.Split(header, ",")
		anything := slices.ContainsFunc(tags, func(tag string) bool { return strings.TrimSpace(tag) == "*" })
		if anything != (versions == nil) {
			t.Fatalf("%q: %v", header, versions)
		}
		for _, v := range versions {
			named := slices.ContainsFunc(tags, func(tag string) bool {
				n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(tag), `"`), 10, 64)
				return err == nil && n == v && strings.Count(tag, `"`) == 2
			})
			if !named && (v != noVersion || len(versions) > 1) {
				t.Fatalf("%q names no version %d", header, v)
			}
		}
	})
}
