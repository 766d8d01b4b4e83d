package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	attachedSubject = "pm.v1.demo.customer.payment_method_attached"
	// deliveriesMax is how many messages one run can have.
	deliveriesMax = 1 << 18
	// deliveryStall is how long no message may come while some are missing.
	deliveryStall = 20 * time.Second
)

// deliveries is a plain subscriber that matches the messages of attaches with
// their answers, by the number in the customer's name.
type deliveries struct {
	conn              *nats.Conn
	mark              []byte // what stands before the number
	began             time.Time
	answered, arrived []atomic.Int64 // after began; 0: not yet
	seen              atomic.Int64
}

func watch(s *system, prefix string) (*deliveries, error) {
	conn, err := nats.Connect(s.nats)
	if err != nil {
		return nil, err
	}
	d := &deliveries{
		conn: conn, mark: []byte(`"customer_id":"` + prefix), began: time.Now(),
		answered: make([]atomic.Int64, deliveriesMax), arrived: make([]atomic.Int64, deliveriesMax),
	}
	sub, err := conn.Subscribe(attachedSubject, d.receive)
	if err == nil {
		err = sub.SetPendingLimits(-1, -1)
	}
	if err == nil {
		err = conn.Flush()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return d, nil
}

func (d *deliveries) receive(m *nats.Msg) {
	at := time.Since(d.began)
	_, rest, found := bytes.Cut(m.Data, d.mark)
	digits, _, _ := bytes.Cut(rest, []byte(`"`))
	n, err := strconv.Atoi(string(digits))
	if !found || err != nil || n >= deliveriesMax {
		return // of another run
	}
	if d.arrived[n].CompareAndSwap(0, int64(at)) {
		d.seen.Add(1)
	}
}

func (d *deliveries) answer(r request, at time.Time) {
	if r.number < deliveriesMax {
		d.answered[r.number].Store(int64(at.Sub(d.began)))
	}
}

// await returns when so many messages have come. That one never comes is a
// violation, not a slow run.
func (d *deliveries) await(ctx context.Context, count int64) error {
	last, since := d.seen.Load(), time.Now()
	for d.seen.Load() < min(count, deliveriesMax) {
		if seen := d.seen.Load(); seen != last {
			last, since = seen, time.Now()
		}
		if time.Since(since) > deliveryStall {
			return fmt.Errorf("%d of %d messages came, and none for %s", last, count, deliveryStall)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// latencies are the times from commit to arrival. The commit is not visible from
// outside: it is taken to lie half a bare request before the answer arrives. A
// message that was there earlier counts as no time at all.
func (d *deliveries) latencies(halfRequest time.Duration) latencies {
	l := newLatencies()
	for n := range d.answered {
		if answered, arrived := d.answered[n].Load(), d.arrived[n].Load(); answered != 0 && arrived != 0 {
			l.record(time.Duration(arrived-answered) + halfRequest)
		}
	}
	return l
}

// delivered runs attaches on a system and measures how long their messages take.
func (s *serving) delivered(ctx context.Context, of *system, run func(target) (result, error)) (r result, told latencies, err error) {
	half, err := s.halfRequest(ctx)
	if err != nil {
		return r, told, err
	}
	prefix := of.unique()
	d, err := watch(of, prefix)
	if err != nil {
		return r, told, err
	}
	defer d.conn.Close()
	t := of.ask(201, of.newCustomers(prefix))
	t.answered = d.answer
	if r, err = run(t); err != nil {
		return r, told, err
	}
	if err := d.await(ctx, r.latencies.count()); err != nil {
		return r, told, err
	}
	return r, d.latencies(half), nil
}

// halfRequest is half of what a request to E takes that is alone.
func (s *serving) halfRequest(ctx context.Context) (time.Duration, error) {
	request := cardRequest("nobody", "tok_visa", "")
	r, err := load(ctx, s.e.ask(201, static(request, 201, 1200)), 1, s.length/10)
	return time.Duration(r.latencies.ms(50) / 2 * float64(time.Millisecond)), err
}

// deliveryMeasurements are those at full load and at one attach a second; the one
// at half load belongs to the requests at half load.
func (s *serving) deliveryMeasurements() []measurement {
	busy := percentileFigures("commit to NATS at full load", deliveryPercentiles)
	calm := percentileFigures(fmt.Sprintf("commit to NATS at %g/s", s.calm), deliveryPercentiles)
	calm[0].reference, calm[0].goals = "a bare publish", []goal{atMost(1.5, toReference)}
	calm[1].reference = "a bare publish"
	return []measurement{
		{figures: busy, round: func(ctx context.Context) error { return s.busyRound(ctx, busy) }},
		{figures: calm, round: func(ctx context.Context) error { return s.calmRound(ctx, calm) }},
	}
}

func (s *serving) busyRound(ctx context.Context, figures []*figure) error {
	asFastAsItGoes := func(t target) (result, error) { return load(ctx, t, full, s.length) }
	var b latencies
	var err error
	if s.b != nil {
		if _, b, err = s.delivered(ctx, s.b, asFastAsItGoes); err != nil {
			return fmt.Errorf("baseline: %w", err)
		}
	}
	r, ours, err := s.delivered(ctx, s.ours, asFastAsItGoes)
	if err != nil {
		return err
	}
	for i, f := range figures {
		p := deliveryPercentiles[i]
		f.note = fmt.Sprintf("at %.0f/s", r.perSecond)
		f.add(ours.ms(p), none, b.msOrNone(p), none)
	}
	return nil
}

// calmRound takes turns, one message each: pmledger, a bare publish, B.
func (s *serving) calmRound(ctx context.Context, figures []*figure) error {
	bare, err := openBare(ctx, s.dir)
	if err != nil {
		return err
	}
	defer bare.close()
	half, err := s.halfRequest(ctx)
	if err != nil {
		return err
	}
	ours, err := openCalm(s.ours)
	if err != nil {
		return err
	}
	defer ours.close()
	turns := []func(context.Context) (time.Duration, error){ours.send, bare.send}
	if s.b != nil {
		b, err := openCalm(s.b)
		if err != nil {
			return err
		}
		defer b.close()
		turns = append(turns, b.send)
	}
	took := []latencies{newLatencies(), newLatencies(), {}}
	if s.b != nil {
		took[2] = newLatencies()
	}
	tick := time.NewTicker(time.Duration(float64(time.Second) / s.calm / float64(len(turns))))
	defer tick.Stop()
	for range s.calmMessages {
		for i, turn := range turns {
			<-tick.C
			d, err := turn(ctx)
			if err != nil {
				return err
			}
			if i != 1 {
				d += half
			}
			took[i].record(d)
		}
	}
	for i, f := range figures {
		p := deliveryPercentiles[i]
		f.note = fmt.Sprintf("%d messages a round; of so few p99 is the slowest", s.calmMessages)
		f.add(took[0].ms(p), none, took[2].msOrNone(p), took[1].ms(p))
	}
	return nil
}
