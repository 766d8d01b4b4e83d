package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// restartRound stops the large ledger, reads its log alone, makes its views anew
// and starts it again.
func (s *scale) restartRound(ctx context.Context) error {
	if err := errors.Join(s.grow(ctx, s.methods), s.big.stop()); err != nil {
		return err
	}
	scan, err := scanned(ctx, s.big.data)
	if err != nil {
		return err
	}
	perSecond, took, err := s.big.rebuild(ctx)
	if err != nil {
		return err
	}
	s.figures.rebuild.add(perSecond, none, none, scan)
	cold, err := s.restart(ctx)
	if err != nil {
		return err
	}
	s.figures.cold.note = "process start until ready; files in the page cache"
	s.figures.cold.add(ms(cold), none, none, ms(took))
	return nil
}

// restart starts the large ledger and returns how long it took until it was ready.
func (s *scale) restart(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	if err := s.big.start(); err != nil {
		return 0, err
	}
	s.ours.target = s.big.system("").target
	c := dial(s.big.http)
	defer c.close()
	ready := func() (bool, string, error) {
		err := c.do(ctx, getRequest("/readyz", ""))
		return c.status == http.StatusOK, c.body.String(), err
	}
	err := drained(ctx, ready)
	return time.Since(began), err
}

// duringRound asks for methods from all over the log while the views are made
// anew, and afterwards.
func (s *scale) duringRound(ctx context.Context) error {
	if err := errors.Join(s.grow(ctx, s.methods), s.big.stop(), os.RemoveAll(filepath.Join(s.big.data, "views"))); err != nil {
		return err
	}
	began := time.Now()
	if err := s.big.start(); err != nil {
		return err
	}
	s.ours.target = s.big.system("").target
	gets := s.ours.ask(200, func(client, n int) request {
		id := s.ids[(client*7919+n)%len(s.ids)]
		return getRequest("/v1/payment-methods/"+id, `"id":"`+id+`"`)
	})
	gets.settled = nil
	var refused atomic.Int64
	gets.refused = &refused
	var over atomic.Bool
	ended := make(chan error, 1)
	var took time.Duration
	go func() {
		ended <- s.ours.settled(ctx)
		took = time.Since(began)
		over.Store(true)
	}()
	during, err := loadWhile(ctx, gets, full, func(time.Time) bool { return !over.Load() })
	if err = errors.Join(err, <-ended); err != nil {
		return err
	}
	gets.refused = nil
	after, err := load(ctx, gets, full, s.length)
	s.figures.during.note = fmt.Sprintf("%s; views anew in %s, %d answers 503", during.latencies, took.Round(10*time.Millisecond), refused.Load())
	s.figures.during.add(during.perSecond, none, none, after.perSecond)
	return err
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
