package domain

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestNamesHaveTheirForm(t *testing.T) {
	for _, form := range []struct {
		name    string
		pattern string
		valid   func(string) bool
	}{
		{"organization", `^[A-Za-z0-9_-]{1,64}$`, ValidOrganization},
		{"customer", `^[A-Za-z0-9_.:@-]{1,128}$`, ValidCustomer},
		{"method", `^pm_[0-9a-f]{32}$`, func(s string) bool { return MethodID(s).Valid() }},
		{"event", `^evt_[0-9a-f]{32}$`, func(s string) bool { _, ok := ParseEventID(s); return ok }},
	} {
		pattern := regexp.MustCompile(form.pattern)
		hex := strings.Repeat("0a", 16)
		for _, s := range []string{
			"", "a", "A-z_9", "a.b", "a:b@c", "a+b", "~pm_1", "a b", "é", "a\n", "a/b", "\x00", "...", "pm_" + hex, "pm_" + hex[1:], "pm_" + hex + "0",
			"pm_" + strings.ToUpper(hex), "pm_" + hex[:31] + "g", "evt_" + hex, "evt_" + strings.ToUpper(hex), "evt_" + hex[:31] + "-", "evt_", "pm_",
			strings.Repeat("a", 64), strings.Repeat("a", 65), strings.Repeat("a", 128), strings.Repeat("a", 129),
		} {
			if got, want := form.valid(s), pattern.MatchString(s); got != want {
				t.Errorf("%s %q: valid is %v, want %v", form.name, s, got, want)
			}
		}
		t.Run(form.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				s := rapid.OneOf(rapid.String(), rapid.StringMatching(form.pattern)).Draw(t, "name")
				if got, want := form.valid(s), pattern.MatchString(s); got != want && s != "." && s != ".." {
					t.Fatalf("%q: valid is %v, want %v", s, got, want)
				}
			})
		})
	}
	for _, s := range []string{".", ".."} {
		if ValidCustomer(s) {
			t.Errorf("%q would be swallowed by a URL path", s)
		}
	}
}

func TestIdsAreReadBackAsTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid"))
		if !NewMethodID(u).Valid() {
			t.Fatalf("%s is no method id", NewMethodID(u))
		}
		if got, ok := ParseEventID(EventID(u)); !ok || got != u {
			t.Fatalf("%s is read back as %s, %v", EventID(u), got, ok)
		}
	})
}

func TestAStreamsNameTellsItsOwner(t *testing.T) {
	for stream, want := range map[string][3]string{
		CustomerStream("acme", "cus_1", ""):      {"customer", "acme", "cus_1"},
		CustomerStream("a-b_c", "x-y:z@w.v", ""): {"customer", "a-b_c", "x-y:z@w.v"},
		CustomerStream("acme", "", "pm_1"):       {"customer", "acme", ""},
		OrganizationStream("a-b"):                {"organization", "a-b", ""},
		LedgerStream:                             {"ledger", "", ""},
	} {
		category, organization, customer := StreamOwner(stream)
		if got := [3]string{category, organization, customer}; got != want {
			t.Errorf("%s belongs to %q, want %q", stream, got, want)
		}
	}
	if ValidCustomer("~pm_1") {
		t.Error("a customer could be named like the stream of a method without one")
	}
}

func TestALabelIsWhatPeopleKnowAMethodBy(t *testing.T) {
	for want, m := range map[string]*Method{
		"4242":             {Facts: Facts{Card: &Card{Last4: "4242"}}, Personal: Personal{Email: "ada@acme.example"}},
		"6789":             {Facts: Facts{BankAccount: &BankAccount{Last4: "6789"}}},
		"ada@acme.example": {Facts: Facts{Wallet: &Wallet{Kind: "paypal"}}, Personal: Personal{Email: "ada@acme.example"}},
		"":                 {Facts: Facts{Type: TypeTwint}},
	} {
		text, personal := m.Label()
		if text != want || personal != strings.Contains(want, "@") {
			t.Errorf("label %q, personal %v; want %q", text, personal, want)
		}
	}
}

func TestARefusalNamesEveryFaultAndItsCode(t *testing.T) {
	err := refuseFaults([]Fault{fault("a", "is wrong"), fault("b", "is too")})
	if got, want := err.Error(), "validation.failed: a: is wrong; b: is too"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if refuseFaults(nil) != nil {
		t.Error("no faults are a refusal")
	}
	if got := Refuse(CodeConflict, "there are %d", 2).Error(); got != "conflict: there are 2" {
		t.Errorf("%q", got)
	}
	if CodeOf(err) != CodeValidationFailed || CodeOf(errFake{}) != CodeInternal {
		t.Errorf("codes %s and %s", CodeOf(err), CodeOf(errFake{}))
	}
}

type errFake struct{}

func (errFake) Error() string { return "no refusal" }
