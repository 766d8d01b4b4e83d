package main

import (
	"context"
	"errors"
	"fmt"
)

// halfLoad is requests that arrive at half the rate at which the system answers as
// fast as it can: each system at half of its own.
type halfLoad struct {
	*serving
	kind     kind
	figures  []*figure // of percentiles
	delivery []*figure // of deliveryPercentiles; nil for a kind that tells nobody anything
}

var (
	percentiles         = []float64{50, 99, 99.9}
	deliveryPercentiles = []float64{50, 99}
)

func percentileFigures(name string, of []float64) []*figure {
	var all []*figure
	for _, p := range of {
		all = append(all, &figure{name: fmt.Sprintf("%s, p%g", name, p), unit: "ms"})
	}
	return all
}

func (s *serving) openMeasurements() []measurement {
	var all []measurement
	for _, k := range kinds() {
		if k.clients != full || k.name != "attach" && k.name != "get" {
			continue
		}
		h := &halfLoad{serving: s, kind: k, figures: percentileFigures(k.name+" at half load", percentiles)}
		if k.writes {
			h.delivery = percentileFigures("commit to NATS at half load", deliveryPercentiles)
			h.delivery[1].goals = []goal{atMost(0.1, toB)}
		}
		all = append(all, measurement{figures: append(append([]*figure{}, h.figures...), h.delivery...), round: h.round})
	}
	return all
}

func (h *halfLoad) round(ctx context.Context) error {
	request := h.kind.asked(h.ours)
	size, err := h.ours.size(ctx, request(0, 0), h.kind.status)
	if err != nil {
		return err
	}
	bare, _, err := h.one(ctx, h.e, static(request(0, 1), h.kind.status, size))
	if err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	var b result
	var toldB latencies
	if h.b != nil {
		if b, toldB, err = h.one(ctx, h.b, nil); err != nil {
			return fmt.Errorf("baseline: %w", err)
		}
	}
	profile := h.product.profile(ctx, h.settings)
	ours, told, err := h.one(ctx, h.ours, nil)
	if err = errors.Join(err, profile()); err != nil {
		return err
	}
	for i, p := range percentiles {
		h.figures[i].note = fmt.Sprintf("at %.0f/s", ours.perSecond)
		h.figures[i].add(ours.latencies.ms(p), bare.latencies.ms(p), b.latencies.msOrNone(p), none)
	}
	for i, f := range h.delivery {
		f.add(told.ms(deliveryPercentiles[i]), none, toldB.msOrNone(deliveryPercentiles[i]), none)
	}
	return nil
}

// one measures one system, and the deliveries of its messages where it has any.
// Without a request it is asked what the kind asks.
func (h *halfLoad) one(ctx context.Context, s *system, request func(int, int) request) (r result, told latencies, err error) {
	capacity := request
	if request == nil {
		capacity, request = h.kind.asked(s), h.kind.asked(s)
	}
	rate, err := s.half(ctx, h.kind.name, s.ask(h.kind.status, capacity), h.length)
	if err != nil {
		return r, told, err
	}
	if h.delivery == nil || s == h.e {
		t := s.ask(h.kind.status, request)
		t.settled = nil
		r, err = openLoop(ctx, t, rate, h.length)
		return r, told, err
	}
	return h.delivered(ctx, s, func(t target) (result, error) { return openLoop(ctx, t, rate, h.length) })
}
