package main

import (
	"context"
	"errors"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections"
)

// gatewayFiles looks at the files of keys and webhook secrets as the start does.
func gatewayFiles(c Config) (findings []finding) {
	for _, g := range c.Gateways {
		check := "gateway " + g.Name
		if _, _, err := g.secrets(); err != nil {
			findings = append(findings, finding{check, verdictFail, err.Error(), "put the secret there, alone in its file, for the user that runs pmledger to read"})
			continue
		}
		findings = append(findings, finding{Check: check, Verdict: verdictOK, Detail: "its keys and webhook secrets can be read"})
		for _, o := range g.Organizations {
			for _, path := range []string{o.KeyFile, o.WebhookSecretFile} {
				if path != "" && openToOthers(path) {
					findings = append(findings, finding{check, verdictWarn, "other users of this machine can read " + path, "chmod 600 " + path})
				}
			}
		}
	}
	return findings
}

// viewsFit looks whether the views are of this log, and no further than it.
func viewsFit(ctx context.Context, c Config, store eventstore.Store, ledgerID string) finding {
	fail := func(err error, advice string) finding { return finding{"views", verdictFail, err.Error(), advice} }
	if !exists(c.ViewsDir()) {
		return finding{Check: "views", Verdict: verdictOK, Detail: c.ViewsDir() + " will be made from the log"}
	}
	at, err := projections.Check(ctx, store, projections.Options{Dir: c.ViewsDir(), LedgerID: ledgerID})
	ahead, foreign := (*projections.AheadError)(nil), (*projections.ForeignError)(nil)
	switch {
	case isLocked(err):
		return finding{Check: "views", Verdict: verdictOK, Detail: "a running server has them open"}
	case errors.As(err, &ahead):
		return fail(ahead, "put the log back that they were made from; or, if you accept the loss, delete its copies "+c.ViewsDir()+" and "+c.NATSDir())
	case errors.As(err, &foreign):
		return fail(foreign, "name the right --data, or delete "+c.ViewsDir()+", which is made again from the log")
	case err != nil:
		return fail(err, "pmledger rebuild makes them anew from the log")
	}
	return finding{Check: "views", Verdict: verdictOK, Detail: c.ViewsDir() + " are of this log, at position " + at.String()}
}
