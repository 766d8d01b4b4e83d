package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// actor is a part of the server that runs until its context ends.
type actor struct {
	name string
	stop context.CancelFunc
	done chan struct{}
	err  error // after done
}

// actors runs named parts. Each is started after those it needs and stopped
// before them: stopping goes backwards and waits for each part to end.
type actors struct {
	log   *slog.Logger
	list  []*actor
	ended chan *actor
}

func newActors(log *slog.Logger) *actors { return &actors{log: log, ended: make(chan *actor, 16)} }

// start runs fn in the background. fn must return soon after its context ends,
// and before that only because it failed.
func (a *actors) start(name string, fn func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	one := &actor{name: name, stop: stop, done: make(chan struct{})}
	a.list = append(a.list, one)
	go func() {
		err := fn(ctx)
		if err != nil && !errors.Is(err, context.Canceled) {
			one.err = fmt.Errorf("%s: %w", name, err)
		} else if ctx.Err() == nil {
			one.err = fmt.Errorf("%s ended by itself", name)
		}
		close(one.done)
		a.ended <- one
	}()
}

// wait returns when ctx ends, or with the error of the first part that ends
// before. The parts are still to be stopped then.
func (a *actors) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case one := <-a.ended:
		return one.err
	}
}

// stop ends all parts, the last one started first, and returns their errors.
func (a *actors) stop() error {
	var errs []error
	for i := len(a.list) - 1; i >= 0; i-- {
		one := a.list[i]
		a.log.Debug("stopping", "part", one.name)
		one.stop()
		<-one.done
		errs = append(errs, one.err)
	}
	a.list = nil
	return errors.Join(errs...)
}
