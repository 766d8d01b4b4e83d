package projections

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pmledger/pmledger/domain"
)

// MethodQuery asks for payment methods of one organization. An empty member does
// not filter. Lists go from the newest to the oldest, by creation time and id.
type MethodQuery struct {
	Customer       string
	Type           domain.Type
	Status         domain.Status // detached finds methods only with IncludeRemoved
	IsDefault      *bool
	Verified       *bool
	Provider       string
	ProviderID     string
	Fingerprint    string
	ExternalID     string
	ExpiringBefore time.Time // expires_at lies before it
	CreatedAfter   time.Time // exclusive
	CreatedBefore  time.Time // exclusive
	IncludeRemoved bool      // detached methods too
	After          string    // Page.Next of the page before
	Limit          int       // 0: DefaultLimit; at most MaxLimit
}

// Method returns a payment method, a detached one too. One of another
// organization is not found.
func (v *Views) Method(organization string, id domain.MethodID) (MethodRow, bool, error) {
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
	return r.MethodRow, true, nil
}

// ownRow returns the row of an organization's method, nil when it has none with
// that key.
func (v *Views) ownRow(organization string, k methodKey) (*cachedRow, error) {
	r, _, err := v.row(k, nil)
	if r == nil || err != nil || string(r.organization) != organization {
		return nil, err
	}
	return r, nil
}

// row returns a method's row, nil when it does not match. found tells whether
// there is one.
func (v *Views) row(k methodKey, matches func(*row) bool) (out *cachedRow, found bool, err error) {
	cached, ok, stamp := v.rows.get(k)
	if ok {
		if matches != nil && !matches(&cached.row) {
			return nil, true, nil
		}
		return cached, true, nil
	}
	value, closer, err := v.db.Get(rowKey(k))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	r, err := decodeRow(value)
	if err == nil && (matches == nil || matches(&r)) {
		out, err = newCachedRow(k, slices.Clone(value))
	}
	if closeErr := closer.Close(); err == nil {
		err = closeErr
	}
	if err != nil || out == nil {
		return nil, true, err
	}
	v.rows.put(k, out, stamp)
	return out, true, nil
}

// Methods returns a page of an organization's payment methods. Filters without a
// key of their own are applied while scanning, at most ScanLimit methods a page:
// a page may be short and yet have a Next. What a page shows has been so at one
// moment. Errors: ErrCursor.
func (v *Views) Methods(organization string, q MethodQuery) (Page, error) {
	v.oneMoment.RLock()
	defer v.oneMoment.RUnlock()
	l := q.list(organization)
	if err := l.continueAfter(q.After); err != nil {
		return Page{}, err
	}
	matches := func(r *row) bool { return q.matches(organization, r) }
	if places, ok, err := v.ofCustomer(q, l); err != nil || ok {
		if err != nil {
			return Page{}, err
		}
		return v.pageOf(places, q.Limit, matches)
	}
	if places, ok, err := v.expiring(organization, q, l); err != nil || ok {
		if err != nil {
			return Page{}, err
		}
		return v.pageOf(places, q.Limit, matches)
	}
	return v.page(l, q.Limit, func(key []byte) ([]byte, error) { return v.item(key[len(key)-len(place{}):], matches) })
}

func (v *Views) item(at []byte, matches func(*row) bool) ([]byte, error) {
	r, found, err := v.row(place(at).method(), matches)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, errMissing
	case r == nil:
		return nil, nil
	default:
		return r.JSON, nil
	}
}

// list chooses the narrowest list that holds all that is asked for. A customer
// comes first: one instrument can be shared by many, a customer has few.
func (q MethodQuery) list(organization string) list {
	var base []byte
	switch {
	case q.Customer != "":
		base = prefix(tableOfCustomer, organization, q.Customer)
	case q.Provider != "" && q.ProviderID != "":
		base = prefix(tableOfToken, organization, q.Provider, q.ProviderID)
	case q.ExternalID != "":
		base = prefix(tableOfExternalID, organization, q.ExternalID)
	case q.Fingerprint != "":
		base = prefix(tableOfFingerprint, organization, q.Fingerprint)
	default:
		base = prefix(tableOfOrganization, organization)
	}
	l := list{prefix: base, from: base, to: after(base), suffix: len(place{})}
	if !q.CreatedBefore.IsZero() {
		// The newest that may be shown: the last millisecond before it.
		newest := q.CreatedBefore.Add(time.Millisecond - 1).Truncate(time.Millisecond).Add(-time.Millisecond)
		l.from = binary.BigEndian.AppendUint64(slices.Clone(base), ^ordered(newest))
	}
	if !q.CreatedAfter.IsZero() {
		oldest := q.CreatedAfter.Truncate(time.Millisecond).Add(time.Millisecond)
		l.to = after(binary.BigEndian.AppendUint64(slices.Clone(base), ^ordered(oldest)))
	}
	return l
}

// narrow tells whether list has found something better than all methods of the
// organization.
func (q MethodQuery) narrow() bool {
	return q.Customer != "" || q.ProviderID != "" && q.Provider != "" || q.ExternalID != "" || q.Fingerprint != ""
}

func (q MethodQuery) matches(organization string, r *row) bool {
	switch {
	case string(r.organization) != organization,
		!q.IncludeRemoved && r.flags&flagAttached == 0,
		q.Customer != "" && string(r.customer) != q.Customer,
		q.Type != "" && string(r.typ) != string(q.Type),
		q.Status != "" && string(r.status) != string(q.Status),
		q.IsDefault != nil && *q.IsDefault != (r.flags&flagDefault != 0),
		q.Verified != nil && *q.Verified != (r.flags&flagVerified != 0),
		q.Provider != "" && string(r.provider) != q.Provider,
		q.ProviderID != "" && string(r.token) != q.ProviderID,
		q.Fingerprint != "" && string(r.fingerprint) != q.Fingerprint,
		q.ExternalID != "" && string(r.externalID) != q.ExternalID,
		!q.ExpiringBefore.IsZero() && (r.expiresAt == 0 || !time.UnixMilli(r.expiresAt).Before(q.ExpiringBefore)):
		return false
	default:
		return true
	}
}

// expiring answers a query that only the list of expiries narrows: the places of
// the methods that expire before the time, in the order of lists, from where l
// begins. It declines (false) when there are more of them than a page may look
// at; then the list of the organization is walked instead.
func (v *Views) expiring(organization string, q MethodQuery, l list) ([]place, bool, error) {
	if q.ExpiringBefore.IsZero() || q.IncludeRemoved || q.narrow() {
		return nil, false, nil
	}
	if err := v.enter(); err != nil {
		return nil, false, err
	}
	defer v.leave()
	base := prefix(tableOfExpiry, organization)
	end := binary.BigEndian.AppendUint64(slices.Clone(base), ordered(q.ExpiringBefore.Add(time.Millisecond-1)))
	it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: base, UpperBound: end})
	if err != nil {
		return nil, false, v.checked(err)
	}
	var places []place
	few, scanned := true, 0
	at := slices.Clone(l.prefix)
	for ok := it.First(); ok && few; ok = it.Next() {
		p := place(it.Key()[len(it.Key())-len(place{}):])
		at = append(at[:len(l.prefix)], p[:]...)
		if bytes.Compare(at, l.from) >= 0 && bytes.Compare(at, l.to) < 0 {
			places = append(places, p)
		}
		scanned++
		few = scanned < ScanLimit
	}
	if err := it.Close(); err != nil {
		return nil, false, v.checked(err)
	}
	slices.SortFunc(places, func(a, b place) int { return slices.Compare(a[:], b[:]) })
	return places, few, nil
}

// pageOf is page for places in memory.
func (v *Views) pageOf(places []place, limit int, matches func(*row) bool) (Page, error) {
	if err := v.enter(); err != nil {
		return Page{}, err
	}
	defer v.leave()
	if limit < 1 {
		limit = DefaultLimit
	}
	limit = min(limit, MaxLimit)
	page := Page{Items: make([][]byte, 0, min(limit, len(places)))}
	var last place
	for _, p := range places {
		found, err := v.item(p[:], matches)
		if err != nil {
			return Page{}, v.checked(err)
		}
		if found == nil {
			continue
		}
		if len(page.Items) == limit {
			page.Next = encodeCursor(last[:])
			break
		}
		page.Items, last = append(page.Items, found), p
	}
	return page, nil
}
