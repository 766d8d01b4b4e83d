package projections

import (
	"encoding/json"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pmledger/pmledger/domain"
)

// uses is the part of the customers projector that keeps subscriptions: nobody
// reads them here, but what may follow in a stream depends on them.
type uses struct {
	v     *Views
	known *lru[string, *domain.Subscription] // by key
	dirty map[string]*domain.Subscription    // since the last commit; nil: deleted
}

func newUses(v *Views) *uses {
	return &uses{v: v, known: newLRU[string, *domain.Subscription](v.o.CachedMethods), dirty: map[string]*domain.Subscription{}}
}

// subscriptionOf names the subscription that an event is about, and the method
// that the event names, "" for none.
func subscriptionOf(e domain.Event) (id string, names domain.MethodID, ok bool) {
	switch e := e.(type) {
	case domain.SubscriptionUpdated:
		return e.Subscription, e.MethodID, true
	case domain.SubscriptionDeleted:
		return e.Subscription, "", true
	default:
		return "", "", false
	}
}

func subscriptionKey(stream, id string) string { return string(prefix(tableSubscription, stream, id)) }

// get returns a subscription as of the present record, nil when there is none.
func (u *uses) get(stream, id string) (*domain.Subscription, error) {
	key := subscriptionKey(stream, id)
	if s, ok := u.dirty[key]; ok {
		return s, nil
	}
	if s, ok := u.known.get(key); ok {
		return s, nil
	}
	value, err := u.v.read([]byte(key))
	if err != nil || value == nil {
		return nil, u.v.checked(err)
	}
	var s domain.Subscription
	if err := json.Unmarshal(value, &s); err != nil {
		return nil, fmt.Errorf("a stored subscription: %w", err)
	}
	return &s, nil
}

// apply works an event about a subscription in.
func (u *uses) apply(ch Change) {
	switch e := ch.Event.(type) {
	case domain.SubscriptionUpdated:
		u.dirty[subscriptionKey(ch.Record.Stream, e.Subscription)] = &domain.Subscription{
			ID: e.Subscription, Status: e.Status, Method: e.MethodID, Version: ch.Record.Version,
		}
	case domain.SubscriptionDeleted:
		u.dirty[subscriptionKey(ch.Record.Stream, e.Subscription)] = nil
	}
}

func (u *uses) stage(batch *pebble.Batch) error {
	for key, s := range u.dirty {
		if s == nil {
			if err := batch.Delete([]byte(key), nil); err != nil {
				return err
			}
			continue
		}
		value, err := json.Marshal(s)
		if err != nil {
			return err
		}
		if err := batch.Set([]byte(key), value, nil); err != nil {
			return err
		}
	}
	return nil
}

func (u *uses) committed() {
	for key, s := range u.dirty {
		u.known.put(key, s)
	}
	clear(u.dirty)
}
