package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// stage is a set of servers and what is measured on them.
type stage interface {
	measurements() []measurement
	open(context.Context) error
	close() error
}

// measurement fills figures with one value for each round.
type measurement struct {
	figures []*figure
	once    bool // in the first round only
	round   func(context.Context) error
}

func (m *measurement) named(prefix string) bool {
	return slices.ContainsFunc(m.figures, func(f *figure) bool { return strings.HasPrefix(f.name, prefix) })
}

// perform opens the stages that have something to measure, measures round by
// round, and returns the figures in the order of the stages.
func perform(ctx context.Context, s settings, stages []stage) ([]*figure, error) {
	var figures []*figure
	for _, st := range stages {
		todo := slices.DeleteFunc(st.measurements(), func(m measurement) bool { return !m.named(s.only) })
		if len(todo) == 0 {
			continue
		}
		for _, m := range todo {
			figures = append(figures, m.figures...)
		}
		if err := errors.Join(st.open(ctx), ctx.Err()); err != nil {
			return nil, errors.Join(err, st.close())
		}
		err := rounds(ctx, s, todo)
		if err = errors.Join(err, st.close()); err != nil {
			return nil, err
		}
	}
	if len(figures) == 0 {
		return nil, fmt.Errorf("nothing that is measured begins with %q", s.only)
	}
	return figures, nil
}

func rounds(ctx context.Context, s settings, todo []measurement) error {
	for round := range s.rounds {
		for _, m := range todo {
			if m.once && round > 0 {
				continue
			}
			began := time.Now()
			if err := errors.Join(m.round(ctx), ctx.Err()); err != nil {
				return fmt.Errorf("%s: %w", m.figures[0].name, err)
			}
			fmt.Fprintf(os.Stderr, "round %d of %d: %s (%.1fs)\n", round+1, s.rounds, m.figures[0].name, time.Since(began).Seconds())
		}
	}
	return nil
}
