package api

import (
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
)

func TestMintedKeysAreParsedBack(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		for _, mode := range []domain.Mode{domain.ModeTest, domain.ModeLive} {
			text, key, err := MintKey(mode, nil)
			if err != nil || len(text) != keySize || seen[text] {
				t.Fatalf("a key of %d characters, %v", len(text), err)
			}
			seen[text] = true
			parsed, err := ParseKey(text)
			if err != nil || parsed != key || key.Mode != mode {
				t.Fatalf("parsed %+v, want %+v: %v", parsed, key, err)
			}
			if domain.ContainsPANInNumberField(key.ID) {
				t.Fatal("a key id looks like a card number")
			}
		}
	}
}

func TestEveryMistypedKeyIsRefusedWithoutALookup(t *testing.T) {
	text, _, err := MintKey(domain.ModeTest, &countingReader{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		other := byte('x')
		if text[i] == 'x' {
			other = 'y'
		}
		if _, err := ParseKey(text[:i] + string(other) + text[i+1:]); err == nil {
			t.Errorf("a key with another character at %d passes", i)
		}
	}
	for _, wrong := range []string{"", "pml_test_", text + "0", text[1:], strings.ToUpper(text), " " + text[1:]} {
		if _, err := ParseKey(wrong); err == nil {
			t.Errorf("%q passes", wrong)
		}
	}
}

func TestMintKeyFailsWithItsRandomness(t *testing.T) {
	if _, _, err := MintKey(domain.ModeTest, strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

func TestSubkeysDifferAndFollowFromTheSecret(t *testing.T) {
	secret := []byte(strings.Repeat("a", SecretSize))
	a, err := NewSecrets(secret)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := NewSecrets(secret)
	other, _ := NewSecrets([]byte(strings.Repeat("b", SecretSize)))
	seen := map[string]bool{}
	for _, k := range [][]byte{a.APIKeys, a.RequestMAC, a.Cursors, a.ClientSecrets, a.MethodIDs, other.APIKeys} {
		if len(k) != 32 || seen[string(k)] {
			t.Errorf("a subkey is short or not of its own")
		}
		seen[string(k)] = true
	}
	if a.KeyMAC("x") != b.KeyMAC("x") || a.KeyMAC("x") == other.KeyMAC("x") || len(a.KeyMAC("x")) != len(unknownMAC) {
		t.Error("the keyed hash does not follow from secret and text")
	}
	if same := []byte(strings.Repeat("a", SecretSize)); Fingerprint(secret) != Fingerprint(same) || Fingerprint(secret) == Fingerprint([]byte(strings.Repeat("b", SecretSize))) || len(Fingerprint(secret)) != 32 {
		t.Error("the fingerprint does not name the secret")
	}
	if _, err := NewSecrets(secret[1:]); err == nil {
		t.Error("a short secret passes")
	}
	id := a.derivedMethodID("acme", "k")
	if !id.Valid() || id[15] != '8' || id != b.derivedMethodID("acme", "k") || id == a.derivedMethodID("acmek", "") || id == a.derivedMethodID("acme", "l") {
		t.Errorf("derived id %s", id)
	}
}

func TestKeysWorkAsBearerAndAsBasicUser(t *testing.T) {
	b := newBench(t)
	key := b.key("acme", domain.ModeTest)
	basic := func(text string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(text))
	}
	for header, want := range map[string]int{
		"Authorization: Bearer " + key:       200,
		"Authorization: bearer  " + key:      200,
		basic(key + ":"):                     200,
		basic(devKey + ":"):                  200,
		basic(key):                           401,
		basic(key + ":password"):             401,
		basic(":" + key):                     401,
		"Authorization: Basic ???":           401,
		"Authorization: Token " + key:        401,
		"Authorization: " + key:              401,
		"Authorization: Bearer " + key + "x": 401,
		"Authorization: Bearer ":             401,
		"X-Api-Key: " + key:                  401,
	} {
		if a := b.as("", "GET", "/v1/organization", "", header); a.status != want {
			t.Errorf("%.30s…: %d, want %d", header, a.status, want)
		}
	}
}

func TestRevokedExpiredAndForgedKeysAreRefusedAlike(t *testing.T) {
	b := newBench(t)
	admin := b.key("acme", domain.ModeTest)
	issue := func(body string) (id, text string) {
		t.Helper()
		a := b.want(201, b.as(admin, "POST", "/v1/api-keys", body))
		_, text, _ = strings.Cut(a.body, `"key":"`)
		text, _, _ = strings.Cut(text, `"`)
		return idIn(a.body), text
	}
	id, revoked := issue(`{"scopes":["organization.read"]}`)
	_, expired := issue(`{"scopes":["organization.read"],"expires_at":"2026-06-01T13:00:00Z"}`)
	b.want(200, b.as(revoked, "GET", "/v1/organization", ""))
	b.want(200, b.as(expired, "GET", "/v1/organization", ""))
	b.want(200, b.as(admin, "DELETE", "/v1/api-keys/"+id, ""))
	first := b.want(401, b.as(revoked, "GET", "/v1/organization", "", "X-Request-Id: r"))
	b.clock.add(time.Hour)
	unknown, key, _ := MintKey(domain.ModeTest, nil)
	live := "pml_live_" + admin[len("pml_test_"):len(admin)-keySumSize]
	forged := "pml_test_" + id + "_" + key.Secret
	for name, text := range map[string]string{"expired": expired, "unknown": unknown, "other mode": live + checksum(live), "forged": forged + checksum(forged)} {
		if a := b.as(text, "GET", "/v1/organization", "", "X-Request-Id: r"); a.status != 401 || a.body != first.body {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	for _, secret := range []string{key.Secret, revoked, expired, admin} {
		if strings.Contains(b.log.String(), secret) {
			t.Error("a key stands in the log")
		}
	}
}
