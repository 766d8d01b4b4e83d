package sandbox_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/sandbox"
)

// A webhook is taken when it is signed, and then says one thing about something; a
// card number is in none.
func FuzzNotices(f *testing.F) {
	for _, body := range []string{
		`{"id":"e","token":"tok_visa","replacement":{}}`, `{"id":"e","token":"x","facts":{"type":"twint","method":"twint","holder":"A B"}}`, `{"id":"e","reference":"r","setup_failed":{}}`,
		`{"id":"e","token":"sepa_de","mandate":{"reference":"M1","scheme":"sepa","status":"inactive"}}`, `{"id":"e","token":"tok_visa","detached":true,"verified":"card_auth"}`, `{"id":"4242424242424242"}`, `[]`,
	} {
		f.Add([]byte(body), "t=1,v1=00")
		f.Add([]byte(body), sandbox.Sign([]byte(body), "another", noon))
	}
	g := &sandbox.Gateway{Now: func() time.Time { return noon }}
	f.Fuzz(func(t *testing.T, body []byte, signature string) {
		if got, err := g.Notices(http.Header{sandbox.SignatureHeader: {signature}}, body, secret); err == nil || got != nil {
			t.Fatalf("%q is taken with the signature %q", body, signature)
		}
		got, err := g.Notices(http.Header{sandbox.SignatureHeader: {sandbox.Sign(body, secret, noon)}}, body, secret)
		if err != nil {
			if gateway.KindOf(err) != gateway.Unsupported || got != nil {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		if len(got) != 1 || got[0].ID == "" || got[0].Token == "" && got[0].Reference == "" || domain.ContainsPAN(string(body)) {
			t.Fatalf("%q is taken for %+v", body, got)
		}
	})
}
