package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/api"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
	"github.com/pmledger/pmledger/eventstore/kurrent"
)

// truth is the opened log, with the secret it was made with. A log on a disk is
// open in one process at a time, one on a cluster in any number.
type truth struct {
	store    eventstore.Store
	gate     *disk.Gate     // of the volume of --data
	cluster  *kurrent.Store // nil with --store disk
	close    func() error
	head     eventstore.Position // when it was opened
	identity eventstore.Identity
	secrets  api.Secrets
}

// openTruth opens the log of the configuration. With --store disk it makes the log,
// and a new secret, when there is none.
func openTruth(ctx context.Context, c Config, log *slog.Logger) (*truth, error) {
	return openLog(ctx, c, log, true)
}

// openExisting is openTruth for commands that read: it makes no log.
func openExisting(ctx context.Context, c Config, log *slog.Logger) (*truth, error) {
	return openLog(ctx, c, log, false)
}

func openLog(ctx context.Context, c Config, log *slog.Logger, mayMake bool) (t *truth, err error) {
	if !c.onCluster() && !mayMake && !exists(c.LogDir()) {
		return nil, fmt.Errorf("there is no log in %s; name the ledger's folder with --data", c.LogDir())
	}
	if err := c.whole(); err != nil {
		return nil, err
	}
	if t, err = openTarget(ctx, c, log); err != nil {
		return nil, err
	}
	t.head, err = t.store.Head(ctx)
	if err == nil && t.head == 0 && t.cluster != nil {
		err = c.mayBegin(mayMake)
	}
	if err == nil {
		err = t.identify(ctx, c, log)
	}
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// openTarget opens the log of the configuration as it is. It begins no ledger in it.
func openTarget(ctx context.Context, c Config, log *slog.Logger) (*truth, error) {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("the folder %s cannot be made: %w", c.Data, err)
	}
	if c.onCluster() {
		return openCluster(ctx, c, log)
	}
	return openDisk(c, log)
}

func openDisk(c Config, log *slog.Logger) (*truth, error) {
	store, err := disk.Open(c.LogDir(), disk.Options{Logger: log, MinFree: uint64(c.MinFree)})
	if err != nil {
		return nil, err
	}
	return &truth{store: store, gate: store.Gate(), close: store.Close}, nil
}

func (t *truth) identify(ctx context.Context, c Config, log *slog.Logger) error {
	secret, err := loadSecret(c.SecretPath(), t.head == 0 && t.cluster == nil)
	if err != nil {
		return err
	}
	if openToOthers(c.SecretPath()) {
		log.Warn("other users of this machine can read the secret; chmod 600 it", "file", c.SecretPath())
	}
	if t.secrets, err = api.NewSecrets(secret); err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	t.identity, err = eventstore.Identify(ctx, t.store, api.Fingerprint(secret), id, time.Now())
	if err != nil {
		return fmt.Errorf("%w (the secret is %s)", err, c.SecretPath())
	}
	return nil
}

func (t *truth) Close() error { return t.close() }

// ledger makes a Ledger on the log with the real clock and random ids.
func (t *truth) ledger() *eventstore.Ledger { return t.ledgerOn(t.store) }

// ledgerOn is ledger with the store observed.
func (t *truth) ledgerOn(store eventstore.Store) *eventstore.Ledger {
	return eventstore.NewLedger(store, eventstore.LedgerOptions{
		Now:    time.Now,
		NewID:  func() uuid.UUID { return uuid.Must(uuid.NewV7()) },
		Shared: t.cluster != nil, Written: t.head,
	})
}

// ready says whether the volume has room. A full one is no reason to take the
// server away: reads go on.
func (t *truth) ready() api.Check {
	check := api.Check{Name: "storage", Advisory: true, OK: true}
	if err := t.gate.Check(); err != nil {
		check.OK, check.Detail = false, t.refused()+": "+err.Error()
	}
	return check
}

// refused is what does not go on while the volume of --data is full.
func (t *truth) refused() string {
	if t.cluster != nil {
		return "views and publisher pause"
	}
	return "writes are refused"
}
