package projections

import (
	"sync"
	"time"
)

// timetable tells clocks what the projections have written since they last
// asked, so that a clock need not look to know that nothing is due.
type timetable struct {
	mu    sync.Mutex
	users map[*subscription]struct{}
}

// subscription is what one clock has not taken yet, by organization.
type subscription struct {
	hints map[string]hint
}

// hint is about one organization: when the first of the methods written is due,
// and which of them stands first in the list of expiries; the first new entry of
// what time will do; zero for none. Or that its settings or its clock changed.
type hint struct {
	due, timed time.Time
	place      string // where the method stands in the list of expiries
	reset      bool
}

func (h hint) with(other hint) hint {
	first := h.place
	if first == "" || other.place != "" && other.place < first {
		first = other.place
	}
	return hint{
		due: earliest(h.due, other.due), timed: earliest(h.timed, other.timed), place: first, reset: h.reset || other.reset,
	}
}

// earliest of two times, where zero is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (t *timetable) subscribe() *subscription {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &subscription{hints: map[string]hint{}}
	if t.users == nil {
		t.users = map[*subscription]struct{}{}
	}
	t.users[s] = struct{}{}
	return s
}

func (t *timetable) unsubscribe(s *subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.users, s)
}

// note adds to what every clock has to take.
func (t *timetable) note(hints map[string]hint) {
	if len(hints) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.users {
		for organization, h := range hints {
			s.hints[organization] = s.hints[organization].with(h)
		}
	}
}

func (t *timetable) reset(organization string) { t.note(map[string]hint{organization: {reset: true}}) }

// take returns what was noted since the last time.
func (t *timetable) take(s *subscription) map[string]hint {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(s.hints) == 0 {
		return nil
	}
	taken := s.hints
	s.hints = map[string]hint{}
	return taken
}
