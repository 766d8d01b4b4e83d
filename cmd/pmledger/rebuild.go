package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
	"github.com/pmledger/pmledger/projections"
)

// rebuilt is the outcome of rebuild as --json prints it.
type rebuilt struct {
	Position        eventstore.Position `json:"position"`
	Seconds         float64             `json:"seconds"`
	EventsPerSecond float64             `json:"events_per_second"`
}

func (p *program) rebuildCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rebuild",
		Short: "Build the views anew from the log",
		Long: "Deletes the views and builds them again from the log. The result is the same to the\n" +
			"byte; it is only ever needed when you do not trust the views, because a server whose\n" +
			"views are missing builds them by itself. The server of this --data must be stopped;\n" +
			"others on the same event store may go on.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.settings(cmd)
			if err != nil {
				return err
			}
			return p.onLedger(cmd, openExisting, func(ctx context.Context, t *truth) error {
				return p.rebuild(ctx, s.Config, t, p.commandLogger(s))
			})
		},
	}
}

func (p *program) rebuild(ctx context.Context, c Config, t *truth, log *slog.Logger) (err error) {
	head, err := t.store.Head(ctx)
	if err != nil {
		return err
	}
	if err := dropViews(c.ViewsDir()); err != nil {
		return err
	}
	tune()
	views, err := openViews(ctx, c, t, log, projections.Options{WholeLog: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, views.Close()) }()
	parts := newActors(log)
	parts.start("views", views.Run)
	defer func() { err = errors.Join(err, parts.stop()) }()

	began := time.Now()
	if err := p.watch(ctx, views, head); err != nil {
		return err
	}
	if err := views.Compact(ctx); err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	result := rebuilt{Position: head, Seconds: took, EventsPerSecond: float64(records(views)) / took}
	if p.json {
		return p.printJSON(result)
	}
	_, err = fmt.Fprintf(p.stdout, "rebuilt the views up to position %d in %.1fs, %.0f events/s\n", head, took, result.EventsPerSecond)
	return err
}

// records is how many records of the log the views have read. Every projection is
// offered each.
func records(views *projections.Views) (most uint64) {
	for _, s := range views.Status() {
		most = max(most, s.Records)
	}
	return most
}

// dropViews deletes what a folder of views holds, unless a running server has it
// open. With a log on a disk that server has the log too; with a cluster only this
// lock tells.
func dropViews(dir string) error {
	if !exists(dir) {
		return nil
	}
	lock, err := disk.Lock(dir, vfs.Default)
	if isLocked(err) {
		return fmt.Errorf("%w\nA running server has the views in %s open. Stop it first", err, dir)
	}
	if err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(dir), lock.Close())
}

// watch shows how the views approach head and returns when they are there.
func (p *program) watch(ctx context.Context, views *projections.Views, head eventstore.Position) error {
	reached := make(chan error, 1)
	go func() { reached <- views.Wait(ctx, head) }()
	bar := p.newProgress("rebuilding", uint64(head))
	defer bar.end()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-reached:
			return err
		case <-tick.C:
			bar.at(uint64(views.Position()))
		}
	}
}

// openViews opens the views of a log. They pause while the volume has no room.
func openViews(ctx context.Context, c Config, t *truth, log *slog.Logger, o projections.Options) (*projections.Views, error) {
	o.Dir, o.LedgerID, o.Logger, o.Gate = c.ViewsDir(), t.identity.LedgerID, log, t.gate.Check
	views, err := projections.Open(ctx, t.store, o)
	if ahead := (*projections.AheadError)(nil); errors.As(err, &ahead) {
		return nil, fmt.Errorf("%w\nThe copies of the log are %s and %s; delete both if you accept the loss", err, c.ViewsDir(), c.NATSDir())
	}
	return views, err
}
