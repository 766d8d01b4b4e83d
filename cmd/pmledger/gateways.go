package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/pmledger/pmledger/api"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/sandbox"
	"github.com/pmledger/pmledger/gateway/stripe"
)

// The kinds of gateways.
const (
	kindSandbox = "sandbox"
	kindStripe  = "stripe"
)

// GatewayConfig is one gateway of the YAML file. Its name is what requests give
// as provider, and a part of the address that its webhooks go to.
type GatewayConfig struct {
	Name          string                `koanf:"name"`
	Kind          string                `koanf:"kind"`
	Organizations []GatewayOrganization `koanf:"organizations"`
}

// GatewayOrganization names the files with what the gateway knows an organization
// by. They are read once, at the start.
type GatewayOrganization struct {
	Name              string `koanf:"name"`
	KeyFile           string `koanf:"key-file"`            // its API key; stripe needs one
	WebhookSecretFile string `koanf:"webhook-secret-file"` // empty: its webhooks are refused
}

// SandboxDir is where the sandbox gateway remembers, as a provider would.
func (c Config) SandboxDir() string { return filepath.Join(c.Data, "sandbox") }

var gatewayName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// validateGateways names everything that is wrong with the list, and the default
// that is not in it. The sandbox is always there.
func (c Config) validateGateways() error {
	var faults []error
	known := []string{kindSandbox}
	for i, g := range c.Gateways {
		at := fmt.Sprintf("gateways[%d]", i)
		if !gatewayName.MatchString(g.Name) {
			faults = append(faults, fmt.Errorf("%s: name: %q is not 1 to 64 of a-z 0-9 _ -", at, g.Name))
		}
		if err := oneOf(at+": kind", g.Kind, kindSandbox, kindStripe); err != nil {
			faults = append(faults, err)
		}
		if (g.Kind == kindSandbox) != (g.Name == kindSandbox) {
			faults = append(faults, fmt.Errorf("%s: the gateway %q and no other is of kind %q", at, kindSandbox, kindSandbox))
		} else if g.Name != kindSandbox {
			known = append(known, g.Name)
		}
		for _, earlier := range c.Gateways[:i] {
			if earlier.Name == g.Name {
				faults = append(faults, fmt.Errorf("%s: the name %q stands there twice", at, g.Name))
			}
		}
		for _, o := range g.Organizations {
			if o.Name == "" || g.Kind == kindStripe && o.KeyFile == "" {
				faults = append(faults, fmt.Errorf("%s: every organization needs a name, and for stripe a key-file", at))
			}
		}
	}
	return errors.Join(append(faults, oneOf("gateway", c.Gateway, known...))...)
}

// validateRawCards: card numbers travel encrypted, or do not leave the machine.
func (c Config) validateRawCards() error {
	host, _, err := net.SplitHostPort(c.HTTP)
	if !c.RawCards || c.TLSCert != "" || c.Dev && err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback()) {
		return nil
	}
	return errors.New("raw-cards: card numbers need TLS (tls-cert, tls-key), except on a loopback address with --dev")
}

func (c Config) validatePublicURL() error {
	if c.PublicURL == "" {
		return nil
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("public-url: %q is not an address such as https://pay.example.com", c.PublicURL)
	}
	return nil
}

// publicURL is PublicURL without a slash at its end. Without one it is where the
// API listens, if that is an address that a browser on this machine can open.
func (c Config) publicURL() string {
	if c.PublicURL != "" {
		return strings.TrimRight(c.PublicURL, "/")
	}
	host, port, err := net.SplitHostPort(c.HTTP)
	if err != nil || port == "0" || host == "" || net.ParseIP(host).IsUnspecified() {
		return ""
	}
	if c.TLSCert != "" {
		return "https://" + c.HTTP
	}
	return "http://" + c.HTTP
}

// gateways are the payment providers of this process.
type gateways struct {
	byName  map[string]gateway.Gateway
	webhook map[[2]string]string // secret by gateway and organization
	sandbox *sandbox.Gateway
}

// openGateways opens what the configuration lists, and the sandbox.
func openGateways(c Config, secrets api.Secrets) (*gateways, error) {
	box, err := sandbox.Open(c.SandboxDir(), secrets.Sandbox)
	if err != nil {
		return nil, err
	}
	all := &gateways{byName: map[string]gateway.Gateway{kindSandbox: box}, webhook: map[[2]string]string{}, sandbox: box}
	for _, g := range c.Gateways {
		if err := all.add(g); err != nil {
			return nil, errors.Join(fmt.Errorf("gateway %s: %w", g.Name, err), box.Close())
		}
	}
	return all, nil
}

func (all *gateways) add(g GatewayConfig) error {
	keys, webhook, err := g.secrets()
	if err != nil {
		return err
	}
	for organization, secret := range webhook {
		all.webhook[[2]string{g.Name, organization}] = secret
	}
	if g.Kind == kindSandbox {
		return nil
	}
	opened, err := stripe.New(stripe.Config{Key: func(organization string) string { return keys[organization] }})
	if err != nil {
		return err
	}
	all.byName[g.Name] = opened
	return nil
}

// secrets reads the files of a gateway: its keys and its webhook secrets, by
// organization. The error names every file that cannot be used.
func (g GatewayConfig) secrets() (keys, webhook map[string]string, err error) {
	keys, webhook = map[string]string{}, map[string]string{}
	var faults []error
	read := func(into map[string]string, organization, path string) {
		if path == "" {
			return
		}
		secret, err := readSecretText(path)
		if err != nil {
			faults = append(faults, err)
			return
		}
		into[organization] = secret
	}
	for _, o := range g.Organizations {
		read(keys, o.Name, o.KeyFile)
		read(webhook, o.Name, o.WebhookSecretFile)
	}
	return keys, webhook, errors.Join(faults...)
}

// readSecretText reads a secret that stands alone in a file.
func readSecretText(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" || strings.ContainsAny(secret, " \t\r\n") {
		return "", fmt.Errorf("the file %s does not hold one secret", path)
	}
	return secret, nil
}

func (all *gateways) webhookSecret(name, organization string) string {
	return all.webhook[[2]string{name, organization}]
}

func (all *gateways) Close() error { return all.sandbox.Close() }
