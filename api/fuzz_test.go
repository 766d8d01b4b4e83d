package api

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/pmledger/pmledger/domain"
)

// Whatever is sent as a body, the answer is one of those that are documented,
// never "internal"; and what looks like a card number is neither accepted nor
// shown.
func FuzzAttachBody(f *testing.F) {
	for _, seed := range []string{
		visa, `{}`, `[]`, `null`, `{"type":"card","token":"tok_visa","metadata":{"k":"v"},"billing_address":{"country":"DE"}}`,
		`{"type":"card","token":"t","card":{"brand":"visa","last4":"4242","exp_month":1,"exp_year":2030},"country":null}`,
		`{"type":"card","provider_id":"4242424242424242"}`, `{"type":"wallet","token":"t","wallet":{"kind":"x","email":"a@b"}}`,
		`{"type":"card","token":"t","redirect_url":"https://x/","status":"paused","set_as_default":true}`, "{\"\xff\":1}",
	} {
		f.Add(seed, "k")
	}
	b := newBench(f)
	known := []int{200, 201, 400, 402, 409, 413, 422, 502}
	f.Fuzz(func(t *testing.T, body, key string) {
		if len(body) == 0 || strings.ContainsAny(key, "\r\n") {
			return
		}
		b.t = t
		a := b.do("POST", "/v1/customers/fuzz/payment-methods", body, "Idempotency-Key: "+key)
		if !slices.Contains(known, a.status) || !json.Valid([]byte(a.body)) {
			t.Fatalf("%q: %d %s", body, a.status, a.body)
		}
		if domain.ContainsPAN(body) && a.status < 300 {
			t.Fatalf("%q was accepted", body)
		}
		if start, end, found := domain.FindPAN(body); found && strings.Contains(a.body, body[start:end]) {
			t.Fatalf("%q is shown: %s", body, a.body)
		}
	})
}
