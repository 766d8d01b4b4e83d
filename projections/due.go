package projections

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pmledger/pmledger/domain"
)

// candidate is something that the views say is due.
type candidate struct {
	kind    workKind // 0: an expiry
	subject string
	stream  string
	event   string // of the record that brought it; "" for an expiry
}

func (at candidate) name() string { return string(at.kind) + at.subject }

// command is what the state calls for at now, nil for nothing, and its id: the
// same for every clock that finds it due in the same state.
func (at candidate) command(c *domain.Customer, policy domain.Policy, now time.Time) (domain.Command, string) {
	switch at.kind {
	case timedIntent:
		s := c.SetupIntents[domain.SetupIntentID(at.subject)]
		if ends := intentEnds(s); ends.IsZero() || ends.After(now) {
			return nil, ""
		}
		return domain.ExpireSetupIntent{SetupIntentID: s.ID}, ownCommandID("expiry", at.event)
	case timedVerification:
		m := c.Methods[domain.MethodID(at.subject)]
		if ends := verificationEnds(m); ends.IsZero() || ends.After(now) {
			return nil, ""
		}
		// By the state: views that lag may still list an earlier verification, whose end
		// is recorded under the id of its event.
		return domain.ExpireVerification{MethodID: m.ID}, ownCommandID("expiry", string(m.ID), "verification", strconv.FormatUint(m.Version, 10))
	}
	m := c.Methods[domain.MethodID(at.subject)]
	if m == nil {
		return nil, ""
	}
	due, ok := m.ExpiryDue(policy.ExpiryWindowsDays)
	if !ok || due.After(now) {
		return nil, ""
	}
	// The version tells the notices of one expiry apart when a method comes back
	// to it.
	id := ownCommandID("expiry", string(m.ID), m.ExpiresAt.UTC().Format(time.RFC3339), noticeOf(m, policy, now), strconv.FormatUint(m.Version, 10))
	return domain.MarkExpiry{MethodID: m.ID, Policy: policy}, id
}

// noticeOf names what is to be said of a method.
func noticeOf(m *domain.Method, policy domain.Policy, now time.Time) string {
	if !m.ExpiresAt.IsZero() && !now.Before(m.ExpiresAt) {
		return "expired"
	}
	if entered := domain.WindowsEntered(m.ExpiresAt, now, policy.ExpiryWindowsDays, m.WindowsServed); len(entered) > 0 {
		return strconv.Itoa(entered[0])
	}
	return "mandate"
}

// asRefusal tells a rule's refusal, which a repeat does not change, from trouble.
func asRefusal(err error, to **domain.Error) bool {
	if !errors.As(err, to) {
		return false
	}
	switch (*to).Code {
	case domain.CodeStoreUnavailable, domain.CodeStorageFull, domain.CodeConflict, domain.CodeInternal:
		return false
	default:
		return true
	}
}

// expirySuffix orders before all entries of the list of expiries at that time.
func expirySuffix(at time.Time) []byte { return binary.BigEndian.AppendUint64(nil, ordered(at)) }

// timedOrganizations names those for which anything will ever be due.
func (v *Views) timedOrganizations() ([]string, error) {
	if err := v.enter(); err != nil {
		return nil, err
	}
	defer v.leave()
	known := map[string]bool{}
	for _, table := range [...]byte{tableOfExpiry, tableTimed} {
		it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: []byte{table}, UpperBound: []byte{table + 1}})
		if err != nil {
			return nil, v.checked(err)
		}
		for ok := it.First(); ok; {
			r := reader{b: it.Key()[1:]}
			id := string(r.part())
			known[id] = true
			ok = it.SeekGE(after(prefix(table, id)))
		}
		if err := it.Close(); err != nil {
			return nil, v.checked(err)
		}
	}
	var all []string
	for id := range known {
		all = append(all, id)
	}
	slices.Sort(all)
	return all, nil
}

// lookAt finds at most n things that are due at now and moves the dial's cursors
// behind them. When it has seen all, it sets the time at which to look again.
func (v *Views) lookAt(d *dial, now time.Time, n int) ([]candidate, error) {
	if err := v.enter(); err != nil {
		return nil, err
	}
	defer v.leave()
	d.reached = now
	windows := append([]int{0}, d.Settings.ExpiryWindowsDays...)
	var found []candidate
	scanned := 0
	for _, days := range windows {
		more, err := v.lookAtExpiries(d, now, days, n, &scanned, &found)
		if err != nil {
			return nil, v.checked(err)
		}
		if more {
			d.next = now
			return found, nil
		}
	}
	more, err := v.lookAtTimed(d, now, n, &found)
	if err != nil {
		return nil, v.checked(err)
	}
	d.next = now
	if !more {
		d.next, err = v.nextDue(d, windows)
	}
	return found, v.checked(err)
}

// lookAtExpiries goes through the methods whose notice of so many days was due
// at now. It tells whether there may be more.
func (v *Views) lookAtExpiries(d *dial, now time.Time, days, n int, scanned *int, found *[]candidate) (more bool, err error) {
	base := prefix(tableOfExpiry, d.organization)
	end := expirySuffix(now.Add(time.Duration(days)*24*time.Hour + time.Millisecond))
	it, err := v.db.NewIter(&pebble.IterOptions{
		LowerBound: slices.Concat(base, d.cursors[days]), UpperBound: slices.Concat(base, end),
	})
	if err != nil {
		return false, err
	}
	for ok := it.First(); ok && !more && err == nil; ok = it.Next() {
		var at *candidate
		at, err = v.dueExpiry(place(it.Key()[len(it.Key())-len(place{}):]), d, now)
		if err != nil {
			break
		}
		if at != nil {
			*found = append(*found, *at)
		}
		*scanned++
		d.cursors[days] = append(bytes.Clone(it.Key()[len(base):]), 0)
		more = len(*found) >= n || *scanned >= ScanLimit
	}
	if closeErr := it.Close(); err == nil {
		err = closeErr
	}
	if err == nil && !more {
		d.cursors[days] = end
	}
	return more, err
}

// dueExpiry reads a method and tells whether it is due, nil for no.
func (v *Views) dueExpiry(p place, d *dial, now time.Time) (*candidate, error) {
	r, there, err := v.row(p.method(), func(r *row) bool {
		return string(r.status) == string(domain.StatusActive) || string(r.status) == string(domain.StatusPaused)
	})
	if err != nil || !there || r == nil {
		return nil, err
	}
	m, err := r.method()
	if err != nil {
		return nil, err
	}
	if due, ok := m.ExpiryDue(d.Settings.ExpiryWindowsDays); !ok || due.After(now) {
		return nil, nil
	}
	return &candidate{subject: string(m.ID), stream: r.Stream}, nil
}

func (v *Views) lookAtTimed(d *dial, now time.Time, n int, found *[]candidate) (more bool, err error) {
	base := prefix(tableTimed, d.organization)
	end := expirySuffix(now.Add(time.Millisecond))
	it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: slices.Concat(base, d.timed), UpperBound: slices.Concat(base, end)})
	if err != nil {
		return false, err
	}
	for ok := it.First(); ok && !more && err == nil; ok = it.Next() {
		var value []byte
		if value, err = it.ValueAndErr(); err != nil {
			break
		}
		*found = append(*found, timedCandidate(it.Key()[len(base):], value))
		d.timed = append(bytes.Clone(it.Key()[len(base):]), 0)
		more = len(*found) >= n
	}
	if closeErr := it.Close(); err == nil {
		err = closeErr
	}
	if err == nil && !more {
		d.timed = end
	}
	return more, err
}

func timedCandidate(suffix, value []byte) candidate {
	k := subjectKey(suffix[9:])
	r := reader{b: value}
	event := r.take(16)
	at := candidate{kind: workKind(suffix[8]), stream: string(r.part())}
	if len(event) == 16 {
		at.event = domain.EventID([16]byte(event))
	}
	if at.kind == timedIntent {
		at.subject = string(domain.NewSetupIntentID([16]byte(k)))
	} else {
		at.subject = string(k.id())
	}
	return at
}

// nextDue is when something behind the cursors is due, zero for never.
func (v *Views) nextDue(d *dial, windows []int) (time.Time, error) {
	var next time.Time
	for _, days := range windows {
		at, err := v.firstAt(prefix(tableOfExpiry, d.organization), d.cursors[days])
		if err != nil {
			return next, err
		}
		if !at.IsZero() {
			next = earliest(next, domain.WindowStart(at, days))
		}
	}
	at, err := v.firstAt(prefix(tableTimed, d.organization), d.timed)
	return earliest(next, at), err
}

// firstAt reads the time of the first entry at or behind a cursor, zero for none.
func (v *Views) firstAt(base, cursor []byte) (time.Time, error) {
	it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: slices.Concat(base, cursor), UpperBound: after(base)})
	if err != nil {
		return time.Time{}, err
	}
	var at time.Time
	if it.First() {
		at = time.UnixMilli(int64(binary.BigEndian.Uint64(it.Key()[len(base):]) ^ 1<<63)).UTC()
	}
	return at, it.Close()
}
