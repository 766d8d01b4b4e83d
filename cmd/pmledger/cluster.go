package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/eventstore/disk"
	"github.com/pmledger/pmledger/eventstore/kurrent"
)

// storeDisk is the value of Config.Store for a log in Config.Data.
const storeDisk = "disk"

// clusterTimeout bounds how long a start waits for the cluster to answer: it may be
// electing a leader.
const clusterTimeout = 30 * time.Second

// onCluster tells whether the log is kept by a cluster, and not in Data.
func (c Config) onCluster() bool { return c.Store != storeDisk }

// logName is where the log is, to be shown.
func (c Config) logName() string {
	if c.onCluster() {
		return kurrent.Redact(c.Store)
	}
	return c.LogDir()
}

// validateStore checks what keeps the log. Its errors do not show the value: it
// may hold a password.
func (c Config) validateStore() error {
	scheme, _, isURL := strings.Cut(c.Store, "://")
	switch {
	case c.Store == storeDisk:
		return nil
	case !isURL:
		return oneOf("store", c.Store, storeDisk, "esdb://…", "esdb+discover://…")
	case scheme != "esdb" && scheme != "esdb+discover":
		return fmt.Errorf("store: %q is not supported; choose disk, esdb://…, esdb+discover://…", scheme+"://")
	}
	var faults []error
	if err := kurrent.Check(c.Store); err != nil {
		faults = append(faults, fmt.Errorf("store: %w", err))
	}
	if c.SecretFile == "" {
		faults = append(faults, errors.New("secret-file: with a store that several servers share, name the file of the ledger's secret, the same for all of them"))
	}
	return errors.Join(faults...)
}

// openCluster connects to the cluster of the configuration. The secret must be
// there before: made here, it would be another one on every server.
func openCluster(ctx context.Context, c Config, log *slog.Logger) (*truth, error) {
	if _, err := os.Stat(c.SecretPath()); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the secret %[1]s is missing. For a ledger that is in use, put its secret there; for a new one, make it once and give it to every server:\n  (umask 077; head -c %[2]d /dev/urandom > %[1]s)", c.SecretPath(), secretSize)
	}
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	store, err := kurrent.Open(ctx, c.Store, kurrent.Options{Logger: log})
	if err != nil {
		return nil, fmt.Errorf("the event store at %s: %w", kurrent.Redact(c.Store), err)
	}
	gate := &disk.Gate{Dir: c.Data, MinFree: uint64(c.MinFree), FreeSpace: freeSpace}
	return &truth{store: store, gate: gate, cluster: store, close: store.Close}, nil
}

// mayBegin tells why no ledger is begun in a store that holds none: the command
// only reads, or the views here were made from one that should be in it.
func (c Config) mayBegin(mayMake bool) error {
	switch {
	case !mayMake:
		return errors.New("the event store holds no ledger yet; pmledger serve begins one")
	case exists(c.ViewsDir()):
		return fmt.Errorf("the event store holds no ledger, but the views in %s were made from one: name the right store with --store, or delete that folder to begin a new ledger", c.ViewsDir())
	}
	return nil
}

// freeSpace is what is free, in bytes, on the volume of a folder.
func freeSpace(dir string) (uint64, error) {
	usage, err := vfs.Default.GetDiskUsage(dir)
	return usage.AvailBytes, err
}
