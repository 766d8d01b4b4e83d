package main

import (
	"context"
	"encoding/json"
	"strconv"
	"sync/atomic"
	"time"
)

// system is a server that is measured, and what is in it to be asked for.
type system struct {
	target                      // address and settled
	nats     string             // URL
	run      string             // makes names of customers unique
	made     atomic.Int64       // customers so far
	cards    []string           // ids of the readers' cards
	switched [][2]string        // ids of the switchers' methods
	since    time.Time          // when all of these were there
	most     map[string]float64 // requests of a kind per second that it was seen to answer in this round
}

// prepare attaches what is read, switched and replayed later.
func (s *system) prepare(ctx context.Context) error {
	c := dial(s.address)
	defer c.close()
	attach := func(r request) (id string, err error) {
		if err := c.expect(ctx, r, 201); err != nil {
			return "", err
		}
		var method struct{ ID string }
		err = json.Unmarshal(c.body.Bytes(), &method)
		return method.ID, err
	}
	for n := range readers * listLength {
		id, err := attach(readerRequest(n))
		if err != nil {
			return err
		}
		if n%4 != 3 {
			s.cards = append(s.cards, id)
		}
	}
	for n := range switchers {
		var pair [2]string
		for i := range pair {
			var err error
			if pair[i], err = attach(cardRequest("switcher_"+strconv.Itoa(n), "tok_visa_fp_"+strconv.Itoa(i), "")); err != nil {
				return err
			}
		}
		s.switched = append(s.switched, pair)
	}
	if err := s.settled(ctx); err != nil {
		return err
	}
	s.since = time.Now()
	time.Sleep(2 * time.Millisecond) // as_of is in milliseconds, and must not be in the future
	return nil
}

// age changes every other card, so that it is not what it was when prepare was done.
func (s *system) age(ctx context.Context) error {
	c := dial(s.address)
	defer c.close()
	for i := 0; i < len(s.cards); i += 2 {
		r := request{method: "PATCH", path: "/v1/payment-methods/" + s.cards[i], body: `{"metadata":{"plan":"lead"}}`, want: `"plan":"lead"`}
		if err := c.expect(ctx, r, 200); err != nil {
			return err
		}
	}
	return s.settled(ctx)
}

// size is the length of the answer to a request.
func (s *system) size(ctx context.Context, r request, status int) (int, error) {
	c := dial(s.address)
	defer c.close()
	err := c.expect(ctx, r, status)
	return c.body.Len(), err
}

// ask makes a target of requests.
func (s *system) ask(status int, r func(int, int) request) target {
	t := s.target
	t.status, t.request = status, r
	return t
}

// seen keeps how many requests of a kind the system answered in a second.
func (s *system) seen(kind string, perSecond float64) {
	if s.most == nil {
		s.most = map[string]float64{}
	}
	s.most[kind] = perSecond
}

// half is half of what the system was seen to answer to full clients in this round,
// which are tried first when they were not. An older figure would be of another
// pace of the machine.
func (s *system) half(ctx context.Context, kind string, t target, length time.Duration) (float64, error) {
	if s.most[kind] == 0 {
		r, err := load(ctx, t, full, length)
		if err != nil {
			return 0, err
		}
		s.seen(kind, r.perSecond)
	}
	most := s.most[kind]
	s.most[kind] = 0
	return most / 2, nil
}

// full is the number of clients whose requests per second count as all that a
// system can do.
const full = 64
