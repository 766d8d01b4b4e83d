package projections_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/projections"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with testdata/<name>.golden. Objects are indented for people;
// that their members are unchanged in order and form is part of the comparison.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (run with -update and read the diff)\n got:\n%s\nwant:\n%s", path, got, want)
	}
}

func indented(t *testing.T, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, data, "", "  "); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return append(out.Bytes(), '\n')
}

func TestAMethodOfEachTypeIsRenderedAsTheContractSays(t *testing.T) {
	for _, typ := range domain.Types {
		t.Run(string(typ), func(t *testing.T) {
			l := newLedger(t)
			v := views(l)
			cmd := l.card()
			cmd.Type, cmd.Facts, cmd.ProviderID = typ, factsOf(typ), "tok_demo"
			cmd.Facts.Fingerprint = "fp_demo"
			cmd.Personal = domain.Personal{
				BillingAddress: &domain.Address{Name: "Jane Doe", Line1: "1 Main St", City: "Springfield", PostalCode: "12345", Country: "US"},
				Metadata:       map[string]string{"plan": "gold", "Ünï": "<\"\\\n>"},
			}
			if typ == domain.TypeBankAccount {
				cmd.Personal.Holder = "Jane Doe"
			}
			if typ == domain.TypePaypal {
				cmd.Personal.Email = "jane@example.com"
			}
			cmd.ExternalID = "ext_1"
			l.execute(domain.CustomerStream("acme", "cus_1", cmd.MethodID), cmd)
			v.caughtUp(l.store)
			row, _, err := v.Method("acme", cmd.MethodID)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "method_"+string(typ), indented(t, row.JSON))
		})
	}
}

// life leads through every public event that commands cause.
func life(l *ledger) {
	const organization, customer = "acme", "cus_1"
	stream := domain.CustomerStream(organization, customer, "")
	tick := func() { l.now = l.now.Add(time.Second) }
	first := l.card()
	l.execute(stream, first)
	tick()
	again := l.card()
	again.Facts.Fingerprint = first.Facts.Fingerprint
	l.execute(stream, again)
	l.now = l.now.Add(48 * time.Hour)
	second := l.card()
	second.SetAsDefault = true
	second.Facts.Card.ExpMonth, second.Facts.Card.ExpYear = 3, 2026
	second.Personal.Metadata = map[string]string{"plan": "gold"}
	l.execute(stream, second)
	tick()
	external, paused, active, city := "ext_1", domain.StatusPaused, domain.StatusActive, "Springfield"
	l.execute(stream, domain.UpdateMethod{
		MethodID: first.MethodID, ExternalID: &external, BillingAddress: &domain.Address{City: city}, Status: &paused,
	})
	tick()
	l.execute(stream, domain.UpdateMethod{MethodID: first.MethodID, Status: &active})
	tick()
	l.execute(stream, domain.DetachMethod{MethodID: second.MethodID})
	tick()
	expired := l.card()
	expired.Facts.Card.ExpMonth, expired.Facts.Card.ExpYear = 1, 2026
	l.execute(stream, expired)
	tick()
	alone := l.card()
	alone.Type, alone.Facts = domain.TypePaypal, factsOf(domain.TypePaypal)
	alone.Personal.Email = "jane@example.com"
	l.execute(domain.CustomerStream(organization, "", alone.MethodID), alone)
}

func TestEventsAreRenderedAsTheContractSays(t *testing.T) {
	l := newLedger(t)
	v := views(l)
	life(l)
	v.caughtUp(l.store)
	messages, err := v.Messages(0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	seen := map[string]bool{}
	for _, m := range messages {
		seen[m.Type] = true
		fmt.Fprintf(&all, "%s\n%s\n", m.InputSubject(), m.Subject())
		for _, h := range m.Headers() {
			fmt.Fprintf(&all, "%s: %s\n", h.Name, h.Value)
		}
		fmt.Fprintf(&all, "\n%s\n", indented(t, m.Body))
	}
	golden(t, "events", all.Bytes())
	for _, name := range []string{
		"customer.payment_method_attached", "customer.payment_method_detached", "customer.default_payment_method_changed",
		"payment_method.updated", "payment_method.paused", "payment_method.resumed", "payment_method.expiring",
		"payment_method.expired", "payment_method.duplicate_detected",
	} {
		if !seen[name] {
			t.Errorf("no golden event %s", name)
		}
	}
}

// What a reader of an object is promised does not depend on what is in it.
func TestEmptyMembersAreExplicit(t *testing.T) {
	got, err := object(projections.RenderMethod(&domain.Method{}))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"billing_address": "{}", "metadata": "{}", "in_use_by": "[]", "customer_id": "null", "card": "null", "label": "null",
		"expires_at": "null", "next_action": "null", "replacement": `{"available_at":null,"pending":false}`,
	} {
		value, ok := got[name]
		text, err := json.Marshal(value)
		if !ok || err != nil || string(text) != want {
			t.Errorf("%s is %s (there: %v), want %s", name, text, ok, want)
		}
	}
}
