package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/pmledger/pmledger/eventstore/disk"
)

// newLogger logs to w: text when a person is looking, JSON otherwise.
func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// onLedger runs a command on the opened log and closes it again. Such commands
// log warnings only, unless a level is asked for.
func (p *program) onLedger(
	cmd *cobra.Command,
	open func(context.Context, Config, *slog.Logger) (*truth, error),
	fn func(context.Context, *truth) error,
) error {
	s, err := p.settings(cmd)
	if err != nil {
		return err
	}
	t, err := open(cmd.Context(), s.Config, p.commandLogger(s))
	if err != nil {
		return explainLock(s.Config, err)
	}
	return errors.Join(fn(cmd.Context(), t), t.Close())
}

func (p *program) commandLogger(s Settings) *slog.Logger {
	level := slog.LevelWarn
	if s.Sources["log-level"] != "default" {
		level = s.Level()
	}
	return newLogger(p.stderr, level)
}

// explainLock says what to do about a folder that a running server has open.
func explainLock(c Config, err error) error {
	switch {
	case !isLocked(err):
		return err
	case c.onCluster():
		return fmt.Errorf("%w\nA running server has %s. Stop it first, or name another folder with --data: each server on a shared store has its own", err, c.Data)
	}
	return fmt.Errorf("%w\nA running server has the log. Stop it first, or ask it over HTTP: /v1/api-keys for keys, /v1/events for events", err)
}

func isLocked(err error) bool { return errors.Is(err, disk.ErrLocked) }
