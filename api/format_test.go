package api

import (
	"strings"
	"testing"

	"github.com/pmledger/pmledger/domain"
)

func TestFormatsTakeWhatTheirStandardsTake(t *testing.T) {
	long := strings.Repeat("x", 63)
	for format, texts := range map[string]struct{ right, wrong []string }{
		"date-time": {
			right: []string{"2026-01-31T12:00:00Z", "2026-01-31T12:00:00.123456789+23:59", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00-01:00"},
			wrong: []string{"", "2026-01-31", "2026-01-31t12:00:00z", "2026-01-31T12:00:60Z", "9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00"},
		},
		"uri": {
			right: []string{"https://a.example", "https://a.example:8443/x/y;z=1?q=%C3%A9&r=/?", "HTTPS://A.example/", "https://[2001:db8::1]/", "https://xn--bcher-kva.example/~a@b!$&'()*+,=:"},
			wrong: []string{
				"", "http://a.example/", "https:a.example", "https:///x", "https://u@a.example/", "https://a.example/#f", "//a.example/", "https://a.example/ x",
				"https://b\u00fccher.example/", "https://a.example/<", `https://a.example/"`, `https://a.example\@b.example/`, "https://a.example/\u202e", "https://a.example/%4",
				"https://a.example/%zz", "https://a.example/[x]", "https://a.example/?a=^", "https://a.example/\x7f", "https://a.example:x/", "https://a.example/`{|}",
			},
		},
		"email": {
			right: []string{"a@b.de", "a@b", "a.b+c@d-e.example", "\u00e4@b.de", "o'hara@" + long + ".example"},
			wrong: []string{"", "a", "@b.de", "a@", "a@b..c", "a@.b", "a@b.", "a@-b.de", "a@b-.de", "a..b@c.de", ".a@b.de", "a.@b.de", "a b@c.de", "a@b@c", "a@" + long + "x.de",
				strings.Repeat("x", 65) + "@b.de", "a@" + strings.Repeat(long+".", 4) + "de", "a\x7f@b.de", "a[1]@b.de"},
		},
	} {
		for _, text := range texts.right {
			if problem := formats[format](text); problem != "" {
				t.Errorf("%s %q: %s", format, text, problem)
			}
		}
		for _, text := range texts.wrong {
			if formats[format](text) == "" {
				t.Errorf("%s %q is taken", format, text)
			}
		}
	}
}

// No answer can write a time of another year than four digits can name.
func TestATimeBeyondTheYear9999IsAFaultAndNoFailure(t *testing.T) {
	b := newBench(t)
	b.key(DevOrganization, domain.ModeTest) // which makes the organization
	for _, row := range []struct{ method, target, body, place string }{
		{"POST", "/v1/api-keys", `{"scopes":["history.read"],"expires_at":"9999-12-31T23:59:59-01:00"}`, "body.expires_at"},
		{"POST", "/v1/test-clock", `{"now":"9999-12-31T23:59:59-01:00"}`, "body.now"},
		{"POST", "/v1/test-clock", `{"now":"9999-12-31T23:59:59Z"}`, "body.now"},
		{"POST", "/v1/test-clock", `{"now":"9000-01-01T00:00:00.001Z"}`, "body.now"},
		{"GET", "/v1/payment-methods?created_before=9999-12-31T23:59:59-01:00", "", "query.created_before"},
	} {
		a := b.do(row.method, row.target, row.body)
		b.refused(422, domain.CodeValidationFailed, a)
		if got := placesOf(t, a); got != row.place {
			t.Errorf("%s %s: the fault is at %s", row.target, row.body, got)
		}
	}
	b.want(201, b.do("POST", "/v1/api-keys", `{"scopes":["history.read"],"expires_at":"9999-12-31T23:59:59.9999Z"}`))
}

// At the last time that a test clock can have, everything that has a time of its own
// still works.
func TestALifeAtTheEndOfTheTestClock(t *testing.T) {
	b := newBench(t)
	b.key(DevOrganization, domain.ModeTest)
	b.want(200, b.do("PATCH", "/v1/organization", `{"time_zone":"America/Los_Angeles","expiry_windows_days":[365,1]}`))
	b.want(200, b.do("POST", "/v1/test-clock", `{"now":"`+domain.LastClock.Format("2006-01-02T15:04:05Z07:00")+`"}`))
	attach := func(kind, token string) string {
		return idIn(b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", `{"type":"`+kind+`","token":"`+token+`"}`)).body)
	}
	for _, token := range []string{"tok_visa", "tok_visa_exp_9999_12", "tok_visa_exp_9999_11_updates", "tok_visa_exp_8999_12_updates", "tok_amex_3ds"} {
		attach("card", token)
	}
	attach("direct_debit", "sepa_de")
	b.want(202, b.do("POST", "/v1/payment-methods/"+attach("bank_account", "ba_us")+"/verify", ""))
	intent := idIn(b.want(201, b.do("POST", "/v1/setup-intents", `{"customer_id":"cus_1"}`)).body)
	b.settle()
	b.want(200, b.do("GET", "/v1/setup-intents/"+intent, ""))
	b.want(200, b.do("GET", "/v1/payment-methods?limit=100&expiring_before=9999-12-31T23:59:59Z", ""))
	b.want(200, b.do("GET", "/v1/events?limit=100", ""))
}

func TestAMembersPlaceIsNoIndex(t *testing.T) {
	b := newBench(t)
	for _, row := range []struct{ method, target, body, places string }{
		{"PATCH", "/v1/organization", `{"":1}`, "body"},
		{"POST", "/v1/setup-intents", `{"customer_id":"cus_1","metadata":{"":1}}`, "body.metadata"},
		{"PATCH", "/v1/organization", `{"expiry_windows_days":[0,1e400]}`, "body.expiry_windows_days[0] body.expiry_windows_days[1]"},
		{"PATCH", "/v1/organization", `{"time_zone":1e400}`, "body.time_zone"},
	} {
		a := b.do(row.method, row.target, row.body)
		b.refused(422, domain.CodeValidationFailed, a)
		if got := placesOf(t, a); got != row.places {
			t.Errorf("%s: faults at %s, want %s", row.body, got, row.places)
		}
	}
}

func TestAKeyOfMetadataIsToldWhatIsWrongWithIt(t *testing.T) {
	b := newBench(t)
	for key, want := range map[string]string{
		``: "a key must have 1 to 40 characters", strings.Repeat("\u00e4", 41): "a key must have 1 to 40 characters", `a\u0007`: "a key must have no control characters", `a\u007f`: "a key must have no control characters",
	} {
		a := b.do("POST", "/v1/setup-intents", `{"customer_id":"cus_1","metadata":{"`+key+`":"x"}}`)
		b.refused(422, domain.CodeValidationFailed, a)
		if !strings.Contains(a.body, `"`+want+`"`) {
			t.Errorf("%q: %s", key, a.body)
		}
	}
	b.want(201, b.do("POST", "/v1/setup-intents", `{"customer_id":"cus_1","metadata":{"`+strings.Repeat("\u00e4", 40)+`":"x"}}`))
}

func TestANameOfABrandHasALength(t *testing.T) {
	b := newBench(t)
	for brands, place := range map[string]string{
		`["x",""]`: "body.card.additional_brands[1]", `["` + strings.Repeat("x", 41) + `"]`: "body.card.additional_brands[0]", `["a","b","c","d","e","f"]`: "body.card.additional_brands",
	} {
		a := b.do("POST", "/v1/customers/cus_1/payment-methods", `{"type":"card","token":"tok_visa","card":{"brand":"visa","last4":"4242","exp_month":1,"exp_year":2034,"additional_brands":`+brands+`}}`)
		b.refused(422, domain.CodeValidationFailed, a)
		if got := placesOf(t, a); got != place {
			t.Errorf("%s: faults at %s, want %s", brands, got, place)
		}
	}
}
