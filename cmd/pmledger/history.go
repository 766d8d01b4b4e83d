package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pmledger/pmledger/eventstore"
)

func (p *program) historyCommand() *cobra.Command {
	return group("history", "Check the log", p.historyVerifyCommand())
}

// verified is the outcome of history verify as --json prints it.
type verified struct {
	OK bool `json:"ok"`
	eventstore.Verification
	Broken *brokenPlace `json:"broken"`
}

// brokenPlace is the first place where the log is not in order.
type brokenPlace struct {
	Stream   string              `json:"stream,omitempty"`
	Version  uint64              `json:"version,omitempty"`
	Position eventstore.Position `json:"position,omitempty"`
	Cause    string              `json:"cause"`
}

func (p *program) historyVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Walk the log and check every record",
		Long: "Walks the log and checks that versions have no gaps, every record carries the hash of\n" +
			"the one before it, times do not go back, every event decodes, every id is its\n" +
			"command's and occurs once; and then that no event contradicts those before it in its\n" +
			"stream, and no command id stands for two requests. Prints what it counted and, if\n" +
			"there is one, the first broken place; then it exits with 1. Records cut off at the\n" +
			"end of a stream leave no trace in it: compare the counts with an earlier export.\n" +
			"With --store disk it opens the log: the server must be stopped.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.onLedger(cmd, openExisting, p.verifyHistory)
		},
	}
}

func (p *program) verifyHistory(ctx context.Context, t *truth) error {
	began := time.Now()
	var bar *progress
	found, err := eventstore.Verify(ctx, t.store, func(pass eventstore.Pass, done, total uint64) {
		if bar == nil || bar.what != string(pass) {
			bar.end()
			bar = p.newProgress(string(pass), total)
		}
		bar.at(done)
	})
	bar.end()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	outcome := verified{OK: err == nil, Verification: found}
	if err != nil {
		outcome.Broken = placeOf(err)
	}
	if p.json {
		return errors.Join(p.printJSON(outcome), err)
	}
	fmt.Fprintf(p.stdout, "%d records in %d streams are in order, up to position %d (%s)\n",
		found.Records, found.Streams, found.Head, time.Since(began).Round(time.Millisecond))
	if err != nil {
		return fmt.Errorf("the history is broken: %w", err)
	}
	return nil
}

func placeOf(err error) *brokenPlace {
	place := &brokenPlace{Cause: err.Error()}
	if broken := (*eventstore.BrokenStreamError)(nil); errors.As(err, &broken) {
		place.Stream, place.Version, place.Position = broken.Stream, broken.Version, broken.Position
	}
	if twice := (*eventstore.DuplicateIDError)(nil); errors.As(err, &twice) {
		place.Position = twice.Second
	}
	return place
}
