package projections

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
)

// EventQuery asks for public events of one organization. An empty member does not
// filter.
type EventQuery struct {
	Customer  string
	Method    domain.MethodID // a change of the default stands under both methods
	Type      string          // public name
	Ascending bool            // oldest first; otherwise newest first
	After     string          // Page.Next of the page before
	Limit     int             // 0: DefaultLimit; at most MaxLimit
}

// fileMessage writes an encoded message and everything it is found by. methods
// are those whose history it stands in.
func fileMessage(batch *pebble.Batch, m *Message, encoded []byte, methods []domain.MethodID) error {
	position := binary.BigEndian.AppendUint64(nil, uint64(m.Position))
	w := entryWriter{batch: batch, position: position}
	w.write(messageKey(m.Position), encoded)
	w.write(append([]byte{tableEventID}, m.ID[:]...), position)
	w.file(prefix(tableEventOfOrganization, m.Organization))
	w.file(prefix(tableEventOfType, m.Organization, m.Type))
	if m.Customer != "" {
		w.file(prefix(tableEventOfCustomer, m.Organization, m.Customer))
	}
	for _, id := range methods {
		k, err := keyOf(id)
		if err != nil {
			return err
		}
		w.file(historyPrefix(k))
	}
	return w.err
}

func historyPrefix(k methodKey) []byte {
	return append(append(make([]byte, 0, 25), tableEventOfMethod), k[:]...)
}

// entryWriter files one message; the first error stays.
type entryWriter struct {
	batch    *pebble.Batch
	position []byte
	err      error
}

func (w *entryWriter) write(key, value []byte) {
	if w.err == nil {
		w.err = w.batch.Set(key, value, nil)
	}
}

func (w *entryWriter) file(prefix []byte) { w.write(append(prefix, w.position...), nil) }

// appendEnvelope writes a message as it is stored under its position, up to its
// body.
func appendEnvelope(b []byte, m *Message) []byte {
	b = binary.AppendUvarint(b, uint64(m.Prev))
	b = binary.AppendUvarint(b, uint64(m.OrgPrev))
	b = binary.AppendUvarint(b, m.OrgSeq)
	b = append(b, m.ID[:]...)
	b = binary.AppendVarint(b, m.Time.UnixMilli())
	for _, s := range [...]string{m.Organization, m.Customer, m.Type, m.SubjectID, m.Traceparent} {
		b = part(b, s)
	}
	return b
}

// stored is a message as stored; its strings are slices of the stored value.
type stored struct {
	prev, orgPrev, orgSeq                               uint64
	id                                                  []byte
	time                                                int64
	organization, customer, typ, subjectID, traceparent []byte
	body                                                []byte
}

func decodeMessage(value []byte) (stored, error) {
	r := reader{b: value}
	s := stored{prev: r.uvarint(), orgPrev: r.uvarint(), orgSeq: r.uvarint(), id: r.take(16), time: r.varint()}
	for _, to := range [...]*[]byte{&s.organization, &s.customer, &s.typ, &s.subjectID, &s.traceparent} {
		*to = r.part()
	}
	s.body = r.rest()
	if r.short || len(s.body) == 0 {
		return stored{}, errShortRow
	}
	return s, nil
}

// message copies a stored message out of the database's memory.
func (s stored) message(p eventstore.Position) Message {
	return Message{
		Position: p, Prev: eventstore.Position(s.prev), OrgPrev: eventstore.Position(s.orgPrev), OrgSeq: s.orgSeq,
		ID: uuid.UUID(s.id), Organization: string(s.organization), Customer: string(s.customer), Type: string(s.typ),
		SubjectID: string(s.subjectID), Time: time.UnixMilli(s.time).UTC(), Traceparent: string(s.traceparent),
		Body: append([]byte(nil), s.body...),
	}
}

// Messages returns the public events after a position in log order, at most max.
// They are what the publisher sends. Their bodies are the caller's.
func (v *Views) Messages(after eventstore.Position, max int) ([]Message, error) {
	if err := v.enter(); err != nil {
		return nil, err
	}
	defer v.leave()
	if after >= v.LastMessage() || max < 1 {
		return nil, nil
	}
	it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: messageKey(after + 1), UpperBound: []byte{tableMessage + 1}})
	if err != nil {
		return nil, v.checked(err)
	}
	var out []Message
	for ok := it.First(); ok && len(out) < max; ok = it.Next() {
		var value []byte
		if value, err = it.ValueAndErr(); err != nil {
			break
		}
		var s stored
		if s, err = decodeMessage(value); err != nil {
			break
		}
		out = append(out, s.message(lastPosition(it.Key())))
	}
	if closeErr := it.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, v.checked(err)
	}
	return out, nil
}

// Message returns the message of an event, false when the views hold none.
func (v *Views) Message(id uuid.UUID) (Message, bool, error) {
	if err := v.enter(); err != nil {
		return Message{}, false, err
	}
	defer v.leave()
	position, err := v.read(append([]byte{tableEventID}, id[:]...))
	if err != nil || len(position) != 8 {
		return Message{}, false, v.checked(err)
	}
	value, err := v.read(append([]byte{tableMessage}, position...))
	if err != nil {
		return Message{}, false, v.checked(err)
	}
	s, err := decodeMessage(value)
	if err != nil {
		return Message{}, false, v.checked(err)
	}
	return s.message(lastPosition(position)), true, nil
}

// Event returns the body of a public event: the bytes that went over NATS. An
// event of another organization is not found.
func (v *Views) Event(organization string, id uuid.UUID) ([]byte, bool, error) {
	m, found, err := v.Message(id)
	if err != nil || !found || m.Organization != organization {
		return nil, false, err
	}
	return m.Body, true, nil
}

// Events returns a page of public events of an organization as bodies. Filters
// without a key of their own are applied while scanning, at most ScanLimit
// events a page: a page may be short and yet have a Next. Errors: ErrCursor.
func (v *Views) Events(organization string, q EventQuery) (Page, error) {
	list, err := q.list(organization)
	if err == nil {
		err = v.continueEvents(&list, q.After)
	}
	if err != nil {
		return Page{}, err
	}
	page, err := v.page(list, q.Limit, func(key []byte) ([]byte, error) {
		value, closer, err := v.db.Get(append([]byte{tableMessage}, key[len(key)-8:]...))
		if errors.Is(err, pebble.ErrNotFound) {
			return nil, errMissing
		}
		if err != nil {
			return nil, err
		}
		s, err := decodeMessage(value)
		var item []byte
		if err == nil && q.matches(organization, s) {
			item = append(item, s.body...)
		}
		if closeErr := closer.Close(); err == nil {
			err = closeErr
		}
		return item, err
	})
	if err == nil && page.Next != "" {
		page.Next, err = v.eventCursor(page.Next)
	}
	return page, err
}

func (q EventQuery) matches(organization string, s stored) bool {
	return string(s.organization) == organization &&
		(q.Customer == "" || string(s.customer) == q.Customer) &&
		(q.Type == "" || string(s.typ) == q.Type)
}

// list chooses the narrowest list that holds all that is asked for.
func (q EventQuery) list(organization string) (list, error) {
	var base []byte
	switch {
	case q.Method != "":
		k, err := keyOf(q.Method)
		if err != nil {
			return list{}, nil // no such method: an empty list
		}
		base = historyPrefix(k)
	case q.Customer != "":
		base = prefix(tableEventOfCustomer, organization, q.Customer)
	case q.Type != "":
		base = prefix(tableEventOfType, organization, q.Type)
	default:
		base = prefix(tableEventOfOrganization, organization)
	}
	return list{prefix: base, from: base, to: after(base), backward: !q.Ascending, suffix: 8}, nil
}
