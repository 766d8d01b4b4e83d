package projections

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
)

// What is due is a function of state: an item comes when a record leads to a
// state that calls for it, and goes with the record that leads out of it. The
// record that brought it is its name: the gateway's idempotency key, and the root
// of the ids of the commands that end it.

// workKind says what is due.
type workKind byte

const (
	// Asked of a gateway as soon as possible.
	workSync   workKind = 1 + iota // facts of a pending method
	workVerify                     // a verification that was requested
	workSetup                      // a setup intent that is processing
	workDetach                     // letting go of a detached method
	// Done by time.
	timedVerification // micro-deposits nobody named
	timedIntent       // a setup intent nobody came back to
	timedMandate      // the notice before a mandate lapses
	// Asked of a gateway as well: ending there what has ended here.
	workCancelVerification
	workCancelSetup
)

// cancels tells work that ends something at a gateway.
func (k workKind) cancels() bool { return k == workCancelVerification || k == workCancelSetup }

// String names the kind in logs.
func (k workKind) String() string {
	switch k {
	case workSync:
		return "sync"
	case workVerify:
		return "verify"
	case workSetup:
		return "setup"
	case workDetach:
		return "detach"
	case timedVerification:
		return "verification expiry"
	case timedIntent:
		return "setup intent expiry"
	case timedMandate:
		return "mandate notice"
	case workCancelVerification:
		return "cancel verification"
	case workCancelSetup:
		return "cancel setup"
	default:
		return fmt.Sprintf("kind %d", byte(k))
	}
}

// work is an item of gateway work.
type work struct {
	kind       workKind
	position   eventstore.Position // of the record that brought it; 0 when it did not come from the view
	event      uuid.UUID           // id of that record
	version    uint64              // of the stream with it
	at         time.Time           // of that record
	stream     string
	provider   string // whose queue it stands in
	subject    string // method id or setup intent id
	approved   bool   // setup: the customer came back
	unanswered bool   // cancel: the gateway has not answered what is canceled

	// Who asked for it, as that record says. What comes of it is theirs too.
	actor, reason, correlation, traceparent string
}

// workOf tells which work a method's state calls for, but for what it has left
// open at a gateway.
func workOf(m *domain.Method) (kinds [3]bool) {
	if m == nil {
		return kinds
	}
	attached := m.Attached()
	kinds[0] = m.Status == domain.StatusPending && m.SetupIntent == ""
	kinds[1] = attached && m.Verification.Status == domain.VerificationPending && m.Verification.Kind == ""
	kinds[2] = !attached && m.GatewayDetach == ""
	return kinds
}

var methodWork = [3]workKind{workSync, workVerify, workDetach}

func setupDue(s *domain.SetupIntent) bool { return s != nil && s.Status == domain.SetupProcessing }

// brought is the work that a record brings, from its event alone; false for none.
func brought(e domain.Event) (kind workKind, subject string, ok bool) {
	switch e := e.(type) {
	case domain.MethodAttached:
		return workSync, string(e.MethodID), e.Status == domain.StatusPending && e.SetupIntentID == ""
	case domain.VerificationRequested:
		return workVerify, string(e.MethodID), true
	case domain.SetupIntentProcessing:
		return workSetup, string(e.SetupIntentID), true
	case domain.MethodDetached:
		return workDetach, string(e.MethodID), true
	default:
		return 0, "", false
	}
}

func itemOf(kind workKind, subject, provider string, ch Change) work {
	approved := false
	if p, ok := ch.Event.(domain.SetupIntentProcessing); ok {
		approved = p.Approved
	}
	r, asked := ch.Record, ch.Meta
	return work{
		kind: kind, position: r.Position, event: r.ID, version: r.Version, at: asked.Time, stream: r.Stream, provider: provider,
		subject: subject, approved: approved,
		actor: asked.Actor, reason: asked.Reason, correlation: asked.Correlation, traceparent: asked.Traceparent,
	}
}

func (w work) encode() []byte {
	b := append(make([]byte, 0, 256), byte(w.kind), 0)
	if w.approved {
		b[1] |= 1
	}
	if w.unanswered {
		b[1] |= 2
	}
	b = append(b, w.event[:]...)
	b = binary.AppendUvarint(b, w.version)
	b = binary.BigEndian.AppendUint64(b, uint64(w.at.UnixMilli()))
	for _, s := range [...]string{w.stream, w.provider, w.subject, w.actor, w.reason, w.correlation, w.traceparent} {
		b = part(b, s)
	}
	return b
}

func decodeWork(key, value []byte) (work, error) {
	r := reader{b: value}
	w := work{kind: workKind(r.byte())}
	flags := r.byte()
	w.approved, w.unanswered = flags&1 != 0, flags&2 != 0
	copy(w.event[:], r.take(16))
	w.version = r.uvarint()
	w.at = time.UnixMilli(int64(r.uint64())).UTC()
	for _, to := range [...]*string{&w.stream, &w.provider, &w.subject, &w.actor, &w.reason, &w.correlation, &w.traceparent} {
		*to = string(r.part())
	}
	if r.short || len(key) != len(workKey(0, 0)) {
		return work{}, errShortRow
	}
	w.position = eventstore.Position(binary.BigEndian.Uint64(key[1:]))
	return w, nil
}

// workKey is of the item of one kind that a record brought.
func workKey(p eventstore.Position, k workKind) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{tableWork}, uint64(p)), byte(k))
}

// openKey names the open work of one kind on one subject. Of what is left open at
// a gateway there may be several; they are told apart by what left them.
type openKey struct {
	kind    workKind
	subject subjectKey
	since   uint64 // domain.LeftOpen.Since; 0 for other kinds
}

func (k openKey) bytes() []byte {
	return binary.BigEndian.AppendUint64(append([]byte{tableWorkOf, byte(k.kind)}, k.subject[:]...), k.since)
}

// todo is the part of the customers projector that keeps what is due.
type todo struct {
	v *Views
	// Since the last commit.
	opened map[openKey]eventstore.Position
	hints  map[string]hint
}

func newTodo(v *Views) *todo {
	return &todo{v: v, opened: map[openKey]eventstore.Position{}, hints: map[string]hint{}}
}

// method files what a record about a method brings and takes off.
func (t *todo) method(batch *pebble.Batch, ch Change, k methodKey, before, next *domain.Method) error {
	was, is := workOf(before), workOf(next)
	for i, kind := range methodWork {
		at := openKey{kind: kind, subject: k}
		var err error
		switch {
		case is[i] && !was[i]:
			err = t.open(batch, at, itemOf(kind, string(next.ID), next.Provider, ch))
		case was[i] && !is[i]:
			err = t.close(batch, at)
		}
		if err != nil {
			return err
		}
	}
	if err := t.left(batch, ch, workCancelVerification, k, string(next.ID), leftOpen(before), next.LeftOpen); err != nil {
		return err
	}
	if err := t.timed(batch, ch, timedVerification, next.Organization, k, verificationEnds(before), verificationEnds(next)); err != nil {
		return err
	}
	return t.timed(batch, ch, timedMandate, next.Organization, k, mandateDue(before), mandateDue(next))
}

// intent files what a record about a setup intent brings and takes off.
func (t *todo) intent(batch *pebble.Batch, ch Change, before, next *domain.SetupIntent) error {
	k, err := intentKeyOf(next.ID)
	if err != nil {
		return err
	}
	at := openKey{kind: workSetup, subject: k}
	switch was, is := setupDue(before), setupDue(next); {
	case is && !was:
		err = t.open(batch, at, itemOf(workSetup, string(next.ID), next.Provider, ch))
	case was && !is:
		err = t.close(batch, at)
	}
	var left []domain.LeftOpen
	if before != nil {
		left = before.LeftOpen
	}
	if err == nil {
		err = t.left(batch, ch, workCancelSetup, k, string(next.ID), left, next.LeftOpen)
	}
	if err != nil {
		return err
	}
	return t.timed(batch, ch, timedIntent, next.Organization, k, intentEnds(before), intentEnds(next))
}

func (t *todo) open(batch *pebble.Batch, at openKey, w work) error {
	t.opened[at] = w.position
	if err := batch.Set(workKey(w.position, w.kind), w.encode(), nil); err != nil {
		return err
	}
	return batch.Set(at.bytes(), binary.BigEndian.AppendUint64(nil, uint64(w.position)), nil)
}

func (t *todo) close(batch *pebble.Batch, at openKey) error {
	position, ok := t.opened[at]
	if !ok {
		value, err := t.v.read(at.bytes())
		if err != nil {
			return t.v.checked(err)
		}
		if len(value) != 8 {
			return fmt.Errorf("%s work on %x is not there: %w", at.kind, at.subject, errMissing)
		}
		position = eventstore.Position(binary.BigEndian.Uint64(value))
	}
	delete(t.opened, at)
	if err := batch.Delete(workKey(position, at.kind), nil); err != nil {
		return err
	}
	return batch.Delete(at.bytes(), nil)
}

// verificationEnds is when micro-deposits can no longer be named, zero for never.
func verificationEnds(m *domain.Method) time.Time {
	if m == nil || !m.Attached() || m.Verification.Status != domain.VerificationPending {
		return time.Time{}
	}
	return m.Verification.ExpiresAt
}

// mandateDue is when the notice before the lapse of a mandate is due, zero for never.
func mandateDue(m *domain.Method) time.Time {
	if m == nil || m.Mandate == nil {
		return time.Time{}
	}
	alone := *m
	alone.ExpiresAt = time.Time{}
	due, _ := alone.ExpiryDue(nil)
	return due
}

// intentEnds is when an intent is over by time. One that is processing waits for
// the gateway, however long that takes.
func intentEnds(s *domain.SetupIntent) time.Time {
	if s == nil || !s.Open() || s.Status == domain.SetupProcessing {
		return time.Time{}
	}
	return s.ExpiresAt
}

// timed moves what time will do to a subject.
func (t *todo) timed(batch *pebble.Batch, ch Change, kind workKind, organization string, k subjectKey, from, to time.Time) error {
	if from.Equal(to) {
		return nil
	}
	if !from.IsZero() {
		if err := batch.Delete(timedKey(organization, from, kind, k), nil); err != nil {
			return err
		}
	}
	if to.IsZero() {
		return nil
	}
	t.hint(organization, hint{timed: to})
	return batch.Set(timedKey(organization, to, kind, k), part(append([]byte(nil), ch.Record.ID[:]...), ch.Record.Stream), nil)
}

func timedKey(organization string, due time.Time, kind workKind, k subjectKey) []byte {
	key := binary.BigEndian.AppendUint64(prefix(tableTimed, organization), ordered(due))
	return append(append(key, byte(kind)), k[:]...)
}

func (t *todo) hint(organization string, h hint) {
	t.hints[organization] = t.hints[organization].with(h)
}

// committed tells clocks what was written. A method is looked at as it is now, so
// that one whose notice came with its attach wakes nobody.
func (t *todo) committed(methods map[domain.MethodID]*domain.Method) {
	for _, m := range methods {
		if m.ExpiresAt.IsZero() {
			continue
		}
		alone := *m
		alone.Mandate = nil // stands in the table of its own
		settings, _ := t.v.Organization(m.Organization)
		if due, ok := alone.ExpiryDue(settings.Settings.ExpiryWindowsDays); ok {
			if k, err := keyOf(m.ID); err == nil {
				at := placeOf(m.CreatedAt, k)
				t.hint(m.Organization, hint{due: due, place: string(append(expirySuffix(m.ExpiresAt), at[:]...))})
			}
		}
	}
	t.v.timetable.note(t.hints)
	t.discard()
}

func (t *todo) discard() {
	clear(t.opened)
	clear(t.hints)
}

// dueWork reads open items in the order they came, those after a position, at
// most so many; and a few more when one record brought the last and others.
func (v *Views) dueWork(after eventstore.Position, most int) ([]work, error) {
	if err := v.enter(); err != nil {
		return nil, err
	}
	defer v.leave()
	it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: workKey(after+1, 0), UpperBound: []byte{tableWork + 1}})
	if err != nil {
		return nil, v.checked(err)
	}
	var out []work
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var value []byte
		var w work
		if value, err = it.ValueAndErr(); err != nil {
			break
		}
		w, err = decodeWork(it.Key(), value)
		if err != nil || len(out) >= most && w.position != out[len(out)-1].position {
			break
		}
		out = append(out, w)
	}
	if closeErr := it.Close(); err == nil {
		err = closeErr
	}
	return out, v.checked(err)
}

// isDue tells whether an item of the view is still there.
func (v *Views) isDue(w work) (bool, error) {
	if err := v.enter(); err != nil {
		return false, err
	}
	defer v.leave()
	value, err := v.read(workKey(w.position, w.kind))
	return value != nil, v.checked(err)
}
