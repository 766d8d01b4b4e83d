package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pmledger/pmledger/api"
	"github.com/pmledger/pmledger/gateway"
)

func TestGatewaysAreReadFromTheFileWithTheirSecrets(t *testing.T) {
	key, secret := write(t, "key", "sk_test_123\n"), write(t, "webhook", " whsec_456 \n")
	file := write(t, "c.yml", strings.NewReplacer("KEY", key, "SECRET", secret).Replace(`
gateway: eu
gateways:
  - name: eu
    kind: stripe
    organizations:
      - {name: acme, key-file: KEY, webhook-secret-file: SECRET}
  - name: sandbox
    kind: sandbox
    organizations:
      - {name: demo, webhook-secret-file: SECRET}
`))
	s, err := load(t, nil, "--config", file, "--data", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range options() {
		if text := shown.show(s.Config); strings.Contains(text, "sk_test") || strings.Contains(text, "whsec") {
			t.Errorf("pmledger config shows a secret: %s", text)
		}
	}
	secrets, err := api.NewSecrets([]byte(strings.Repeat("x", api.SecretSize)))
	if err != nil {
		t.Fatal(err)
	}
	all, err := openGateways(s.Config, secrets)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	if len(all.byName) != 2 || all.webhookSecret("eu", "acme") != "whsec_456" || all.webhookSecret("sandbox", "demo") != "whsec_456" ||
		all.webhookSecret("eu", "demo") != "" {
		t.Errorf("got %v, %v", all.byName, all.webhook)
	}
	// Another organization has no key there, and the provider is not asked.
	if _, err := all.byName["eu"].Lookup(context.Background(), gateway.Request{Organization: "other", Token: "pm_1"}); gateway.KindOf(err) != gateway.Unavailable {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openGateways(s.Config, secrets); err == nil || !strings.Contains(err.Error(), secret) {
		t.Errorf("an empty file of a secret was taken: %v", err)
	}
}

func TestCardNumbersNeedTLSExceptOnLoopbackInDev(t *testing.T) {
	for args, ok := range map[string]bool{
		"--raw-cards": false, "--raw-cards --dev": true, "--raw-cards --dev --http 0.0.0.0:8080": false,
		"--raw-cards --dev --http [::1]:8080": true, "--raw-cards --dev --http localhost:8080": true, "--dev": true,
	} {
		if _, err := load(t, nil, strings.Fields(args)...); (err == nil) != ok {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestBuyersComeBackToWhereTheAPIIs(t *testing.T) {
	for args, want := range map[string]string{
		"--http 127.0.0.1:8080": "http://127.0.0.1:8080", "--http 127.0.0.1:0": "", "--http :8080": "", "--http 0.0.0.0:8080": "",
		"--http :8080 --public-url https://pay.example.com/": "https://pay.example.com",
	} {
		s, err := load(t, nil, strings.Fields(args)...)
		if err != nil || s.publicURL() != want {
			t.Errorf("%s: %q, %v", args, s.publicURL(), err)
		}
	}
	if got := (Config{Data: "d"}).SandboxDir(); got != filepath.Join("d", "sandbox") {
		t.Error(got)
	}
}
