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
)

// truth is the opened log, with the secret it was made with. One process at a
// time can have it open.
type truth struct {
	store    *disk.Store
	identity eventstore.Identity
	secrets  api.Secrets
}

// openTruth opens the log of the configuration, or makes it with a new secret.
func openTruth(ctx context.Context, c Config, log *slog.Logger) (*truth, error) {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("the folder %s cannot be made: %w", c.Data, err)
	}
	store, err := disk.Open(c.LogDir(), disk.Options{Logger: log, MinFree: uint64(c.MinFree)})
	if err != nil {
		return nil, err
	}
	t := &truth{store: store}
	if err := t.identify(ctx, c, log); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return t, nil
}

// openExisting is openTruth for commands that read: it makes no log.
func openExisting(ctx context.Context, c Config, log *slog.Logger) (*truth, error) {
	if !exists(c.LogDir()) {
		return nil, fmt.Errorf("there is no log in %s; name the ledger's folder with --data", c.LogDir())
	}
	return openTruth(ctx, c, log)
}

func (t *truth) identify(ctx context.Context, c Config, log *slog.Logger) error {
	head, err := t.store.Head(ctx)
	if err != nil {
		return err
	}
	secret, err := loadSecret(c.SecretPath(), head == 0)
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

func (t *truth) Close() error { return t.store.Close() }

// ledger makes a Ledger on the log with the real clock and random ids.
func (t *truth) ledger() *eventstore.Ledger {
	return eventstore.NewLedger(t.store, eventstore.LedgerOptions{
		Now:   time.Now,
		NewID: func() uuid.UUID { return uuid.Must(uuid.NewV7()) },
	})
}
