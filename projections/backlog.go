package projections

import "time"

// Backlog is what is due and not done.
type Backlog struct {
	// Items are on the list. Those of the last 15 s are mostly being done by the
	// requests that brought them.
	Items int
	// Failing were tried and will be tried again.
	Failing int
}

// Backlog tells how much gateway work there is, by provider. A provider that once
// had work is named for good, so that its numbers go back to 0.
func (w *Worker) Backlog() map[string]Backlog {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make(map[string]Backlog, len(w.lanes))
	for provider, l := range w.lanes {
		b := Backlog{Items: len(l.tasks) + l.running + l.left}
		for _, t := range l.tasks {
			if t.failures > 0 {
				b.Failing++
			}
		}
		all[provider] = b
	}
	return all
}

// ClockStatus is how an ExpiryClock fares.
type ClockStatus struct {
	// DueSince is the real time since which there has always been something due.
	// Zero: all is done that is due.
	DueSince time.Time
	// Failing is how many things that are due were tried and will be tried again.
	Failing int
	// Done counts the commands that were executed.
	Done uint64
}

// Status tells how the clock fares, as of its last step.
func (c *ExpiryClock) Status() ClockStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// report keeps how the clock fares after a step at now. left: something due was
// left undone.
func (c *ExpiryClock) report(now time.Time, left bool) {
	failing := 0
	for _, d := range c.dials {
		failing += len(d.failed)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Failing = failing
	switch {
	case !left && failing == 0:
		c.status.DueSince = time.Time{}
	case c.status.DueSince.IsZero():
		c.status.DueSince = now
	}
}
