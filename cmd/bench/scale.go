package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// scale is a large ledger beside a small one.
type scale struct {
	settings
	big, small  *product
	ours, few   *system // the ledgers, to be asked
	filled      int     // methods in the large one
	ids         []string
	usedAtStart map[string]float64 // bytes by folder, without a method
	figures     scaleFigures
}

type scaleFigures struct {
	attach, cold, rebuild, during, bytes *figure
	memory                               []*figure // one for each of the sizes
}

// fewest is the size of the small ledger, and the first one at which memory is read.
func (s *scale) fewest() int { return min(10_000, s.methods/2) }

// sizes are how many methods there are when memory is read: powers of ten.
func (s *scale) sizes() []int {
	all := []int{s.fewest()}
	for n := 10 * s.fewest(); n < s.methods; n *= 10 {
		all = append(all, n)
	}
	return append(all, s.methods)
}

func thousands(n int) string {
	switch {
	case n%1_000_000 == 0:
		return fmt.Sprintf("%d M", n/1_000_000)
	case n%1000 == 0:
		return fmt.Sprintf("%d k", n/1000)
	default:
		return fmt.Sprint(n)
	}
}

func (s *scale) measurements() []measurement {
	n := thousands(s.methods)
	f := &s.figures
	*f = scaleFigures{
		attach:  &figure{name: "attach at " + n + " methods, 64 clients", unit: "/s", reference: "at " + thousands(s.fewest()), goals: []goal{atLeast(1/1.2, toReference)}},
		cold:    &figure{name: "cold start with " + n + " methods", unit: "ms", reference: "a rebuild", goals: []goal{atMost(0.05, toReference)}},
		rebuild: &figure{name: "rebuild of all views, " + n + " methods", unit: "events/s", reference: "read, checksum, decode", goals: []goal{atLeast(0.5, toReference)}},
		during:  &figure{name: "get during a rebuild, 64 clients", unit: "/s", reference: "get afterwards"},
		bytes:   &figure{name: "bytes on disk per method", unit: "B"},
	}
	var memory []measurement
	for _, size := range s.sizes() {
		m := &figure{name: "resident memory at " + thousands(size) + " methods", unit: "MiB"}
		f.memory = append(f.memory, m)
		memory = append(memory, measurement{figures: []*figure{m}, once: true, round: func(ctx context.Context) error { return s.memoryRound(ctx, m, size) }})
	}
	return append(memory,
		measurement{figures: []*figure{f.bytes}, once: true, round: s.bytesRound},
		measurement{figures: []*figure{f.attach}, round: s.attachRound},
		measurement{figures: []*figure{f.cold, f.rebuild}, round: s.restartRound},
		measurement{figures: []*figure{f.during}, round: s.duringRound},
	)
}

func (s *scale) open(ctx context.Context) (err error) {
	if s.big, err = newProduct(ctx, s.settings, "big"); err != nil {
		return err
	}
	if err = s.big.start(); err != nil {
		return err
	}
	s.ours = s.big.system("g")
	s.usedAtStart, err = s.used()
	return err
}

func (s *scale) close() error {
	var err error
	for _, p := range []*product{s.big, s.small} {
		if p != nil {
			err = errors.Join(err, p.stop())
		}
	}
	return err
}

// grow attaches until there are so many methods. It keeps the ids of some that lie
// all over the log.
func (s *scale) grow(ctx context.Context, to int) error {
	c := dial(s.ours.address)
	defer c.close()
	for s.filled < to {
		step := min(max(s.methods/50, 1), to-s.filled)
		if err := fill(ctx, s.ours.ask(201, s.ours.attaches()), step-1); err != nil {
			return err
		}
		if err := c.expect(ctx, s.ours.attaches()(0, 0), 201); err != nil {
			return err
		}
		var method struct{ ID string }
		if err := json.Unmarshal(c.body.Bytes(), &method); err != nil {
			return err
		}
		s.ids = append(s.ids, method.ID)
		s.filled += step
	}
	return s.ours.settled(ctx)
}

// used is how many bytes each folder of the large ledger takes.
func (s *scale) used() (map[string]float64, error) {
	all := map[string]float64{}
	for _, folder := range []string{"log", "views", "nats"} {
		bytes, err := used(filepath.Join(s.big.data, folder))
		if err != nil {
			return nil, err
		}
		all[folder] = bytes
	}
	return all, nil
}

func (s *scale) memoryRound(ctx context.Context, f *figure, size int) error {
	if err := s.grow(ctx, size); err != nil {
		return err
	}
	resident, err := s.big.resident(ctx)
	f.note = "right after they were attached at full speed"
	f.add(resident, none, none, none)
	return err
}

// bytesRound leaves out what an empty ledger takes. The server is stopped, so that
// all is on the disk.
func (s *scale) bytesRound(ctx context.Context) error {
	if err := errors.Join(s.grow(ctx, s.methods), s.big.stop()); err != nil {
		return err
	}
	now, err := s.used()
	if err != nil {
		return err
	}
	all := 0.0
	var parts []string
	for _, folder := range slices.Sorted(maps.Keys(now)) {
		each := (now[folder] - s.usedAtStart[folder]) / float64(s.filled)
		all += each
		parts = append(parts, fmt.Sprintf("%s %.0f", folder, each))
	}
	s.figures.bytes.note = strings.Join(parts, ", ") + "; two events each"
	s.figures.bytes.add(all, none, none, none)
	_, err = s.restart(ctx)
	return err
}

func (s *scale) attachRound(ctx context.Context) error {
	if err := errors.Join(s.grow(ctx, s.methods), s.openSmall(ctx)); err != nil {
		return err
	}
	few, err := load(ctx, s.few.ask(201, s.few.attaches()), full, s.length)
	if err != nil {
		return err
	}
	many, err := load(ctx, s.ours.ask(201, s.ours.attaches()), full, s.length)
	s.figures.attach.add(many.perSecond, none, none, few.perSecond)
	return err
}

func (s *scale) openSmall(ctx context.Context) error {
	if s.small != nil {
		return nil
	}
	p, err := newProduct(ctx, s.settings, "small")
	if err != nil {
		return err
	}
	if err := p.start(); err != nil {
		return err
	}
	s.small, s.few = p, p.system("s")
	return fill(ctx, s.few.ask(201, s.few.attaches()), s.fewest())
}
