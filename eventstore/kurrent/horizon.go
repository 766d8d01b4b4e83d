package kurrent

import (
	"sync"

	"github.com/pmledger/pmledger/eventstore"
)

// horizon is what this process knows of the log's end: the last record of the
// ledger's streams up to a place. Nothing in it is ever taken back, since the log
// only grows.
type horizon struct {
	mu       sync.Mutex
	own      eventstore.Position // of the last record known
	examined eventstore.Position // no record of ours lies between own and here
}

// saw notes a record of ours, and returns the last one known.
func (h *horizon) saw(p eventstore.Position) eventstore.Position {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.own = max(h.own, p)
	return h.own
}

// passed notes that own is the last record of ours up to a place.
func (h *horizon) passed(own, to eventstore.Position) eventstore.Position {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.own = max(h.own, own)
	h.examined = max(h.examined, to)
	return h.own
}

// checked notes how far a subscription that began after a position got without
// another record of ours than the one at own. That it began at a record of ours is
// the caller's word until it is known from elsewhere.
func (h *horizon) checked(own, began, to eventstore.Position) {
	if known, _ := h.known(); own > began || own == known {
		h.passed(own, to)
	}
}

func (h *horizon) known() (own, examined eventstore.Position) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.own, max(h.own, h.examined)
}
