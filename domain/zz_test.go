package domain

import (
	"encoding/base64"
	"testing"
	"time"
)

func TestZ(t *testing.T) {
	for _, s := range []string{"4242424242424242", "x 4242 4242 4242 4242 12/34", "4242%204242%204242%204242", base64.StdEncoding.EncodeToString([]byte("ab 4242424242424242")), "４２４２４２４２４２４２４２４２", "a4242424242424242", "5555-5555-5555-4444 123"} {
		t.Log(s, ContainsPAN(s))
	}
	l, _ := time.LoadLocation("UTC")
	_ = l
}
func BenchmarkEncodeAttached(b *testing.B) {
	b.ReportAllocs()
	e := sample()
	for b.Loop() {
		Encode(e)
	}
}
func BenchmarkDecodeAttached(b *testing.B) {
	b.ReportAllocs()
	n, d, _ := Encode(sample())
	b.Log(len(d))
	for b.Loop() {
		if _, err := Decode(n, 1, d); err != nil {
			b.Fatal(err)
		}
	}
}
func BenchmarkDecodeDefault(b *testing.B) {
	b.ReportAllocs()
	n, d, _ := Encode(DefaultChanged{To: "pm_0193c2f0a1b27c3d8e4f5a6b7c8d9e0f", Cause: CausePolicy})
	for b.Loop() {
		Decode(n, 1, d)
	}
}
func BenchmarkEncodeDefault(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Encode(DefaultChanged{To: "pm_0193c2f0a1b27c3d8e4f5a6b7c8d9e0f", Cause: CausePolicy})
	}
}
func sample() Event {
	return MethodAttached{MethodID: "pm_0193c2f0a1b27c3d8e4f5a6b7c8d9e0f", Organization: "acme", Customer: "cus_1", Facts: Facts{Type: "card", Method: "card", Card: &Card{Brand: "visa", Last4: "4242", ExpMonth: 12, ExpYear: 2034, Country: "US", Funding: "credit"}, Fingerprint: "0123456789abcdef0123456789abcdef", Country: "US"}, FactsFrom: "gateway", Provider: "sandbox", ProviderID: "tok_visa", Status: "active", Verification: Verification{Status: Unverified}, ExpiresAt: time.Date(2035, 1, 1, 0, 0, 0, 0, time.UTC), Personal: Personal{BillingAddress: &Address{Line1: "1 Main St", City: "X"}, Metadata: map[string]string{"a": "b"}}}
}
func BenchmarkPAN(b *testing.B) {
	b.ReportAllocs()
	s := ""
	for len(s) < 4096 {
		s += "The quick brown fox 12 jumps over order 0193c2f0a1b27c3d8e4f5a6b7c8d9e0f on 2026-11-21. "
	}
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		if ContainsPAN(s) {
			b.Fatal()
		}
	}
}
