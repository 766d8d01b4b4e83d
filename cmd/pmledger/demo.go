package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"

	"github.com/pmledger/pmledger/api"
	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
)

// demoKey opens the demo organization and returns its key: the configured one, or
// one that is made once. Outside --dev it returns "".
func demoKey(ctx context.Context, c Config, ledger *eventstore.Ledger) (string, error) {
	if !c.Dev {
		return "", nil
	}
	_, err := ledger.Execute(ctx, eventstore.Request{
		Stream: domain.OrganizationStream(api.DevOrganization), Actor: operator,
		Prepare: func(context.Context) (domain.Command, error) {
			return domain.OpenOrganization{Mode: domain.ModeTest}, nil
		},
	})
	// A full disk is no reason not to serve reads.
	if err != nil && domain.CodeOf(err) != domain.CodeStorageFull {
		return "", fmt.Errorf("opening the demo organization: %w", err)
	}
	if c.DevKey != "" {
		return c.DevKey, nil
	}
	fresh, _, err := api.MintKey(domain.ModeTest, rand.Reader)
	if err != nil {
		return "", err
	}
	key, err := readOrMake(c.DemoKeyPath(), func() string { return fresh })
	if err == nil && !validDevKey(key) {
		err = errors.New("it must begin with pml_test_ and have 30 or more characters; delete the file to have a new one made")
	}
	if err != nil {
		return "", fmt.Errorf("the demo organization's key in %s: %w", c.DemoKeyPath(), err)
	}
	return key, nil
}

// greet says where everything is: to a newcomer in --dev, to the log otherwise.
func (p *program) greet(c Config, at addresses, devKey string, log *slog.Logger) {
	if !c.Dev {
		log.Info("ready", "http", at.HTTP, "admin", at.Admin, "nats", at.NATS, "data", c.Data)
		return
	}
	for _, address := range []string{at.HTTP, at.NATS} {
		if address != "" && !onLoopback(address) {
			log.Warn("--dev is for trying out, and other machines can reach it: its key has every scope and NATS asks for none", "address", address)
		}
	}
	p.say("\npmledger is ready; data in %s\n", c.Data)
	p.say("  HTTP   %s (docs: %s/docs)", at.HTTP, at.HTTP)
	if at.NATS != "" {
		p.say("  NATS   %s", at.NATS)
	}
	if at.Admin != "" {
		p.say("  Admin  %s/metrics", at.Admin)
	}
	p.say("  Key    %s (organization %s)\n", devKey, api.DevOrganization)
	p.say("Attach a card:\n")
	p.say("  curl %s/v1/customers/cus_1/payment-methods \\\n    -H 'Authorization: Bearer %s' \\\n"+
		"    -H 'Content-Type: application/json' \\\n    -d '{\"type\":\"card\",\"token\":\"tok_visa\"}'\n", at.HTTP, devKey)
	if at.NATS != "" {
		p.say("Watch its events:\n\n  nats sub -s %s 'pm.v1.%s.>'\n", at.NATS, api.DevOrganization)
	}
}

// onLoopback tells whether only this machine reaches the address of a URL.
func onLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
