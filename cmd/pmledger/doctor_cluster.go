package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pmledger/pmledger/api"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/kurrent"
)

// maxSkew is how far this machine's clock may be off the cluster's. Times of events
// never go back within a customer's history, so the events of a server that is slow
// take over the times of one that is fast.
const maxSkew = 2 * time.Second

// clusterAnswers checks what keeps the log: that the cluster has a leader and shows
// its log, that the ledger in it was made with this secret, and the time.
func (p *program) clusterAnswers(ctx context.Context, s Settings) []finding {
	at := kurrent.Redact(s.Store)
	ctx, cancel := context.WithTimeout(ctx, 2*checkTimeout)
	defer cancel()
	store, err := kurrent.Open(ctx, s.Store, kurrent.Options{Logger: p.commandLogger(s)})
	switch {
	case errors.Is(err, eventstore.ErrUnavailable):
		return []finding{{"store", verdictFail, at + ": " + err.Error(), "check address, TLS settings and whether the cluster has a leader; commands are refused until it answers"}}
	case err != nil:
		return []finding{{"store", verdictFail, at + ": " + err.Error(), "check user and password, and that the user may read $all and write streams"}}
	}
	defer store.Close()
	asked := time.Now()
	node, err := store.Node(ctx)
	if err != nil {
		return []finding{{"store", verdictFail, at + ": " + err.Error(), "it broke off; try again"}}
	}
	version := node.Version
	if version == "" {
		version = "of a version it does not tell"
	}
	findings := []finding{
		{Check: "store", Verdict: verdictOK, Detail: fmt.Sprintf("the leader %s, server %s, answers", node.Address, version)},
		clocks(node, asked, time.Now()),
	}
	findings = append(findings, ledgerIn(ctx, store, s.Config)...)
	if s.NATSURL == "" {
		findings = append(findings, finding{"nats-url", verdictWarn, "every server on the store would have a NATS stream of its own", "when there is more than one server, name one NATS for all with --nats-url"})
	}
	return findings
}

// ledgerIn looks which ledger the store holds, and whether the views are of it. It
// begins none.
func ledgerIn(ctx context.Context, store *kurrent.Store, c Config) []finding {
	fail := func(err error, advice string) []finding {
		return []finding{{"log", verdictFail, err.Error(), advice}}
	}
	if err := c.whole(); err != nil {
		return fail(err, "complete the import")
	}
	head, err := store.Head(ctx)
	if err != nil {
		return fail(err, "let the user read $all")
	}
	if head == 0 {
		return []finding{{Check: "log", Verdict: verdictOK, Detail: "the store holds no ledger; one is begun at the first start"}}
	}
	secret, err := loadSecret(c.SecretPath(), false)
	if err != nil {
		return fail(err, "put the ledger's secret there")
	}
	identity, err := eventstore.ReadIdentity(ctx, store)
	if err != nil {
		return fail(err, "this store's streams are not a ledger's")
	}
	if identity.SecretFingerprint != api.Fingerprint(secret) {
		return fail(errors.New("ledger "+identity.LedgerID+" was made with another secret"), "name its secret with --secret-file, or the right store with --store")
	}
	return []finding{
		{Check: "log", Verdict: verdictOK, Detail: fmt.Sprintf("it can be read, head at position %d, ledger %s", head, identity.LedgerID)},
		viewsFit(ctx, c, store, identity.LedgerID),
	}
}

// clocks compares this machine's time with the cluster's, which is told in whole
// seconds between two of ours.
func clocks(node kurrent.Node, before, after time.Time) finding {
	if node.Time.IsZero() {
		return finding{Check: "clock", Verdict: verdictOK, Detail: "the store does not tell its time; keep the clocks of all servers in step"}
	}
	var skew time.Duration
	switch {
	case node.Time.Add(time.Second).Before(before):
		skew = before.Sub(node.Time.Add(time.Second))
	case node.Time.After(after):
		skew = node.Time.Sub(after)
	}
	if skew > maxSkew {
		return finding{"clock", verdictWarn, fmt.Sprintf("it is %s off the store's", skew.Round(time.Millisecond)), "keep the clocks of all servers in step, with NTP for instance"}
	}
	return finding{Check: "clock", Verdict: verdictOK, Detail: "in step with the store's"}
}
