package projections

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// longList is the number of a customer's methods from which they are not kept in
// memory.
const longList = 128

// ofCustomer returns the places of all methods of a customer, in the order of lists,
// from memory when it was asked before. It declines (false) when there are many, or
// when a part of them is asked for.
func (v *Views) ofCustomer(q MethodQuery, l list) ([]place, bool, error) {
	if q.Customer == "" || q.After != "" || !q.CreatedAfter.IsZero() || !q.CreatedBefore.IsZero() {
		return nil, false, nil
	}
	of := string(l.prefix)
	places, known, stamp := v.lists.get(of)
	if known {
		return places, places != nil, nil
	}
	if err := v.enter(); err != nil {
		return nil, false, err
	}
	defer v.leave()
	it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: l.from, UpperBound: l.to})
	if err != nil {
		return nil, false, v.checked(err)
	}
	places = []place{}
	for ok := it.First(); ok && places != nil; ok = it.Next() {
		places = append(places, place(it.Key()[len(l.prefix):]))
		if len(places) == longList {
			places = nil
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return nil, false, v.checked(err)
	}
	v.lists.put(of, places, stamp)
	return places, places != nil, nil
}
