package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestActorsStopInTheOppositeOrder(t *testing.T) {
	var mu sync.Mutex
	var ended []string
	parts := newActors(slog.New(slog.DiscardHandler))
	for _, name := range []string{"first", "second", "third"} {
		parts.start(name, func(ctx context.Context) error {
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			ended = append(ended, name)
			return ctx.Err()
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := parts.wait(ctx); err != nil {
		t.Errorf("waiting: %v", err)
	}
	if err := parts.stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	if want := []string{"third", "second", "first"}; !slices.Equal(ended, want) {
		t.Errorf("they ended in the order %v, want %v", ended, want)
	}
}

func TestAnActorThatFailsEndsTheWaiting(t *testing.T) {
	parts := newActors(slog.New(slog.DiscardHandler))
	parts.start("steady", func(ctx context.Context) error { <-ctx.Done(); return nil })
	broken := errors.New("it broke")
	parts.start("weak", func(context.Context) error { return broken })
	if err := parts.wait(t.Context()); !errors.Is(err, broken) || !strings.Contains(err.Error(), "weak") {
		t.Errorf("got %v, want the cause and the name", err)
	}
	if err := parts.stop(); !errors.Is(err, broken) {
		t.Errorf("stopping: %v", err)
	}
}

func TestAnActorThatEndsByItselfEndsTheWaiting(t *testing.T) {
	parts := newActors(slog.New(slog.DiscardHandler))
	parts.start("short", func(context.Context) error { return nil })
	if err := parts.wait(t.Context()); err == nil || !strings.Contains(err.Error(), "short ended by itself") {
		t.Errorf("got %v", err)
	}
}
