package projections

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pmledger/pmledger/domain"
)

// keepPast keeps what a method was shown as before it became next. Of several
// states within one millisecond the last alone can be asked for.
func keepPast(batch *pebble.Batch, k methodKey, before, next *domain.Method) error {
	if before == nil || before.UpdatedAt.Equal(next.UpdatedAt) {
		return nil
	}
	value := binary.AppendUvarint(make([]byte, 0, 1536), before.Version)
	return batch.Set(pastKey(k, before.UpdatedAt), appendMethod(value, before, toOwner), nil)
}

// MethodAt returns a payment method as it was at a moment, inclusive. One that was
// attached later, or is another organization's, is not found.
func (v *Views) MethodAt(organization string, id domain.MethodID, at time.Time) (MethodRow, bool, error) {
	k, err := keyOf(id)
	if err != nil {
		return MethodRow{}, false, nil
	}
	if err := v.enter(); err != nil {
		return MethodRow{}, false, err
	}
	defer v.leave()
	r, err := v.ownRow(organization, k)
	if r == nil || err != nil {
		return MethodRow{}, false, v.checked(err)
	}
	past := r.MethodRow
	if r.updatedAt <= at.UnixMilli() {
		return past, true, nil
	}
	value, err := v.pastMethod(k, at)
	if err != nil || value == nil {
		return MethodRow{}, false, v.checked(err)
	}
	rest := reader{b: value}
	past.Version, past.JSON = rest.uvarint(), rest.rest()
	if rest.short {
		return MethodRow{}, false, v.checked(errShortRow)
	}
	return past, true, nil
}

// pastMethod reads the newest of the past states that began by then.
func (v *Views) pastMethod(k methodKey, at time.Time) (value []byte, err error) {
	end := pastKey(k, at.Add(time.Millisecond))
	it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: end[:1+len(k)], UpperBound: end})
	if err != nil {
		return nil, err
	}
	if it.Last() {
		if value, err = it.ValueAndErr(); err == nil {
			value = slices.Clone(value)
		}
	}
	return value, errors.Join(err, it.Close())
}
