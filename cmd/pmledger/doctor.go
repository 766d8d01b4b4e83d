package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pmledger/pmledger/api"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
	"github.com/pmledger/pmledger/projections/publisher"
)

// checkTimeout bounds one check of something that may not answer.
const checkTimeout = 2 * time.Second

// The verdicts of doctor.
const (
	verdictOK   = "ok"
	verdictWarn = "warn"
	verdictFail = "fail"
)

// finding is one line of doctor: what was looked at, how it is, what to do.
type finding struct {
	Check   string `json:"check"`
	Verdict string `json:"verdict"`
	Detail  string `json:"detail"`
	Advice  string `json:"advice,omitempty"`
}

func (p *program) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check configuration, folders, secret, space, log, views, gateways and ports",
		Long: "Looks at everything that serve needs and says what to do about what is not right.\n" +
			"It changes nothing. It exits with 1 when a check fails.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.settings(cmd)
			findings := []finding{{Check: "version", Verdict: verdictOK, Detail: thisBuild().Version + " " + thisBuild().Go}}
			if err != nil {
				findings = append(findings, finding{"configuration", verdictFail, err.Error(), "correct it; pmledger config shows where each value comes from"})
			} else {
				findings = append(findings, p.examine(cmd.Context(), s)...)
			}
			return p.printFindings(findings)
		},
	}
}

func (p *program) examine(ctx context.Context, s Settings) []finding {
	c := s.Config
	findings := []finding{configured(s), folder(c), space(c), secretFile(c)}
	if c.onCluster() {
		findings = append(findings, p.clusterAnswers(ctx, s)...)
	} else {
		findings = append(findings, p.logOpens(ctx, s)...)
	}
	findings = append(findings, gatewayFiles(c)...)
	findings = append(findings, port("http", c.HTTP), port("admin", c.Admin))
	if c.NATSURL != "" {
		return append(findings, p.externalNATS(ctx, s)...)
	}
	return append(findings, port("nats-listen", c.NATSListen))
}

func configured(s Settings) finding {
	if len(s.Unknown) > 0 {
		return finding{"configuration", verdictWarn, fmt.Sprintf("%v name no option", s.Unknown), "a misspelt variable has no effect; pmledger config lists the names"}
	}
	return finding{Check: "configuration", Verdict: verdictOK, Detail: "valid"}
}

func folder(c Config) finding {
	if !exists(c.Data) {
		parent, err := filepath.Abs(filepath.Dir(c.Data))
		if err != nil || !exists(parent) {
			return finding{"folder", verdictFail, c.Data + " cannot be made: its parent does not exist", "make the parent, or choose another --data"}
		}
		return finding{Check: "folder", Verdict: verdictOK, Detail: c.Data + " will be made at the first start"}
	}
	probe, err := os.CreateTemp(c.Data, ".doctor-*")
	if err != nil {
		return finding{"folder", verdictFail, err.Error(), "let the user that runs pmledger write to " + c.Data}
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return finding{"folder", verdictFail, err.Error(), "check the volume of " + c.Data}
	}
	if openToOthers(c.Data) {
		return finding{"folder", verdictWarn, "other users of this machine can look into " + c.Data, "chmod 700 " + c.Data}
	}
	return finding{Check: "folder", Verdict: verdictOK, Detail: c.Data + " can be written to"}
}

func space(c Config) finding {
	at := c.Data
	for !exists(at) && filepath.Dir(at) != at {
		at = filepath.Dir(at)
	}
	available, err := freeSpace(at)
	if err != nil {
		return finding{"free space", verdictWarn, err.Error(), "check the volume of " + c.Data}
	}
	free := fmt.Sprintf("%d MiB free, %s must stay free", available>>20, c.MinFree)
	refused := "writes are refused"
	if c.onCluster() {
		refused = "views and publisher pause"
	}
	switch {
	case available < uint64(c.MinFree):
		return finding{"free space", verdictFail, free, refused + "; make room, or lower --min-free"}
	case available < 2*uint64(c.MinFree):
		return finding{"free space", verdictWarn, free, "make room soon"}
	}
	return finding{Check: "free space", Verdict: verdictOK, Detail: free}
}

func secretFile(c Config) finding {
	path := c.SecretPath()
	info, err := os.Stat(path)
	switch {
	case err != nil && c.onCluster():
		return finding{"secret", verdictFail, err.Error(), "put the ledger's secret there, the same file on every server; for a new ledger make it once: head -c 32 /dev/urandom"}
	case err != nil && !exists(c.LogDir()):
		return finding{Check: "secret", Verdict: verdictOK, Detail: path + " will be made at the first start"}
	case err != nil:
		return finding{"secret", verdictFail, err.Error(), "restore it from a backup: the log cannot be used with another one"}
	case info.Size() != secretSize:
		return finding{"secret", verdictFail, fmt.Sprintf("%s has %d bytes, not %d", path, info.Size(), secretSize), "restore it from a backup"}
	case openToOthers(path):
		return finding{"secret", verdictWarn, "other users of this machine can read " + path, "chmod 600 " + path}
	}
	return finding{Check: "secret", Verdict: verdictOK, Detail: path}
}

// logOpens opens the log to be read only, and looks whether secret and views are of
// this log.
func (p *program) logOpens(ctx context.Context, s Settings) []finding {
	if !exists(s.LogDir()) {
		return []finding{{Check: "log", Verdict: verdictOK, Detail: s.LogDir() + " will be made at the first start"}}
	}
	if !exists(s.SecretPath()) {
		return []finding{{"log", verdictWarn, s.LogDir() + " was not looked at, because its secret is missing", "see the secret"}}
	}
	fail := func(err error) []finding {
		return []finding{{"log", verdictFail, err.Error(), "do not delete anything in " + s.LogDir() + "; copy the folder before you try to mend it"}}
	}
	if err := s.whole(); err != nil {
		return fail(err)
	}
	store, err := disk.OpenReadOnly(s.LogDir(), disk.Options{Logger: p.commandLogger(s)})
	switch {
	case isLocked(err):
		return []finding{{Check: "log", Verdict: verdictOK, Detail: "a running server has it open"}}
	case errors.Is(err, disk.ErrNoLog):
		return []finding{{Check: "log", Verdict: verdictOK, Detail: s.LogDir() + " is empty; a log is begun at the first start"}}
	case err != nil:
		return fail(err)
	}
	head, identity, err := ledgerOn(ctx, store, s.Config)
	views := viewsFit(ctx, s.Config, store, identity.LedgerID)
	if err = errors.Join(err, store.Close()); err != nil {
		return append(fail(err), views)
	}
	detail := fmt.Sprintf("%s opens, head at position %d, ledger %s", s.LogDir(), head, identity.LedgerID)
	if head == 0 {
		detail = s.LogDir() + " opens and holds no ledger; one is begun at the first start"
	}
	return []finding{{Check: "log", Verdict: verdictOK, Detail: detail}, views}
}

// ledgerOn reads which ledger the log holds, none when it is empty, and checks that
// it was made with the secret of the configuration.
func ledgerOn(ctx context.Context, store eventstore.Store, c Config) (head eventstore.Position, identity eventstore.Identity, err error) {
	if head, err = store.Head(ctx); err != nil || head == 0 {
		return head, identity, err
	}
	if identity, err = eventstore.ReadIdentity(ctx, store); err != nil {
		return head, identity, err
	}
	secret, err := loadSecret(c.SecretPath(), false)
	if err == nil {
		err = identity.MadeWith(api.Fingerprint(secret))
	}
	if err != nil {
		err = fmt.Errorf("%w (the secret is %s)", err, c.SecretPath())
	}
	return head, identity, err
}

func port(flag, address string) finding {
	if address == "" {
		return finding{Check: flag, Verdict: verdictOK, Detail: "not used"}
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return finding{flag, verdictWarn, err.Error(), "in use: by a running server, or choose another address with --" + flag}
	}
	if err := l.Close(); err != nil {
		return finding{flag, verdictWarn, err.Error(), ""}
	}
	return finding{Check: flag, Verdict: verdictOK, Detail: address + " is free"}
}

// externalNATS looks at the NATS of --nats-url. What keeps events from being
// published fails; the rest is a warning, because the API serves without.
func (p *program) externalNATS(ctx context.Context, s Settings) []finding {
	options, err := s.natsLogin(p.commandLogger(s))
	if err != nil {
		return []finding{{"nats", verdictFail, err.Error(), "correct the --nats-… options"}}
	}
	findings := secretsOfNATS(s.Config)
	for _, r := range publisher.Survey(ctx, s.NATSURL, s.NATSReplicas, options...) {
		f := finding{Check: r.Check, Verdict: verdictOK, Detail: r.Detail, Advice: r.Advice}
		switch {
		case r.Stops:
			f.Verdict = verdictFail
		case r.Wrong:
			f.Verdict = verdictWarn
		}
		findings = append(findings, f)
	}
	return findings
}

func secretsOfNATS(c Config) []finding {
	var findings []finding
	for _, path := range []string{c.NATSPasswordFile, c.NATSTokenFile, c.NATSCreds, c.NATSNkey, c.NATSKey} {
		if path != "" && openToOthers(path) {
			findings = append(findings, finding{"nats secrets", verdictWarn, "other users of this machine can read " + path, "chmod 600 " + path})
		}
	}
	return findings
}

func (p *program) printFindings(findings []finding) error {
	failed := 0
	for _, f := range findings {
		if f.Verdict == verdictFail {
			failed++
		}
	}
	err := p.writeFindings(findings)
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d checks failed", failed)
	}
	return err
}

func (p *program) writeFindings(findings []finding) error {
	if p.json {
		return p.printJSON(findings)
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		fmt.Fprintf(table, "%s\t%s\t%s\n", f.Verdict, f.Check, f.Detail)
		if f.Advice != "" {
			fmt.Fprintf(table, "\t\t-> %s\n", f.Advice)
		}
	}
	return table.Flush()
}
