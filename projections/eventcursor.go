package projections

import (
	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore"
)

// A cursor of a list of events names the event at which a page ended, by its
// position and by its id. The id counts: a log that is moved to another store has
// other positions there, and a page must never go on from a place that only looks
// right. The position counts where the event is not there yet, in views that are
// behind those which made the cursor.
const eventCursorSize = 8 + 16

// eventCursor adds the event's id to a cursor that names its position.
func (v *Views) eventCursor(place string) (string, error) {
	position, err := decodeCursor(place, 8)
	if err != nil {
		return "", err
	}
	if err := v.enter(); err != nil {
		return "", err
	}
	defer v.leave()
	value, err := v.read(append([]byte{tableMessage}, position...))
	if err == nil && value == nil {
		err = errMissing
	}
	if err != nil {
		return "", v.checked(err)
	}
	s, err := decodeMessage(value)
	if err != nil {
		return "", v.checked(err)
	}
	return encodeCursor(append(position, s.id...)), nil
}

// continueEvents moves the range of a list of events behind the event that a
// cursor names.
func (v *Views) continueEvents(l *list, cursor string) error {
	if cursor == "" || l.suffix == 0 {
		return nil
	}
	raw, err := decodeCursor(cursor, eventCursorSize)
	if err != nil {
		return err
	}
	applied := v.Position() // before the look: what is not found then is not there
	m, found, err := v.Message(uuid.UUID(raw[8:]))
	if err != nil {
		return err
	}
	at := lastPosition(raw[:8])
	switch {
	case found:
		at = m.Position
	case at <= applied:
		return ErrCursor
	}
	return l.continueAfter(encodeCursor(positionKey(at)))
}

func positionKey(p eventstore.Position) []byte { return messageKey(p)[1:] }
