package projections

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
)

// The first byte of a key says which table it belongs to. Parts that are looked
// for as a whole carry their length before them, so that no value can run into
// its neighbour; parts that order are fixed and big endian. Lists of methods go
// from the newest to the oldest, so their keys hold the complement of creation
// time and id, and a list is a scan forward.
const (
	tableMeta           = 'A' // name -> about these views, see engine.go
	tableMethod         = 'm' // method -> row
	tablePastMethod     = 'n' // method, since when -> version, JSON; of every state that was followed by another
	tableOfCustomer     = 'c' // organization, customer, newest -> nothing
	tableOfOrganization = 'o' // organization, newest -> nothing
	tableOfExpiry       = 'x' // organization, expiry, newest -> nothing; attached methods only
	tableOfFingerprint  = 'f' // organization, fingerprint, newest -> nothing
	tableOfExternalID   = 'y' // organization, external id, newest -> nothing
	tableOfToken        = 't' // organization, provider, token, newest -> nothing

	tableMessage             = 'E' // position -> message
	tableEventID             = 'i' // event -> position
	tableEventOfOrganization = 'a' // organization, position -> nothing
	tableEventOfCustomer     = 'b' // organization, customer, position -> nothing
	tableEventOfMethod       = 'h' // method, position -> nothing
	tableEventOfType         = 'e' // organization, type, position -> nothing
	tableSequence            = 'q' // organization -> its last sequence and position

	tableKey          = 'k' // key id -> row
	tableOrganization = 'g' // organization -> row

	tableIntent = 's' // setup intent -> row

	tableIntentOfReference = 'r' // organization, provider, reference, setup intent -> nothing
	tableSubscription      = 'p' // stream, subscription -> row

	tableWork   = 'w' // position, kind -> gateway work that is due
	tableWorkOf = 'v' // kind, subject, what left it open -> position of its open work
	tableTimed  = 'd' // organization, due, kind, subject -> what time will do
)

// methodKey is the UUID in a method id.
type methodKey [16]byte

func keyOf(id domain.MethodID) (methodKey, error) {
	var k methodKey
	if len(id) != 35 || id[:3] != "pm_" {
		return k, fmt.Errorf("%q is not a payment method id", id)
	}
	if _, err := hex.Decode(k[:], []byte(id[3:])); err != nil {
		return k, fmt.Errorf("%q is not a payment method id", id)
	}
	return k, nil
}

func (k methodKey) id() domain.MethodID { return domain.NewMethodID(uuid.UUID(k)) }

// place is where a method stands in a list: newest first, then by id, descending.
type place [24]byte

func placeOf(createdAt time.Time, k methodKey) place {
	var p place
	binary.BigEndian.PutUint64(p[:], ^ordered(createdAt))
	for i, c := range k {
		p[8+i] = ^c
	}
	return p
}

func (p place) method() methodKey {
	var k methodKey
	for i, c := range p[8:] {
		k[i] = ^c
	}
	return k
}

// ordered maps a time, to the millisecond, to a number that grows with it.
func ordered(t time.Time) uint64 { return uint64(t.UnixMilli()) ^ 1<<63 }

// part appends a part that is looked for as a whole.
func part(key []byte, s string) []byte {
	key = binary.AppendUvarint(key, uint64(len(s)))
	return append(key, s...)
}

// prefix starts the key of a table with parts that are looked for as a whole.
func prefix(table byte, parts ...string) []byte {
	n := 1
	for _, s := range parts {
		n += len(s) + 2
	}
	key := append(make([]byte, 0, n+24), table)
	for _, s := range parts {
		key = part(key, s)
	}
	return key
}

// after is the first key behind all that begin with prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

func rowKey(k methodKey) []byte { return append([]byte{tableMethod}, k[:]...) }

// pastKey is where the state that a method had from a moment on is kept.
func pastKey(k methodKey, since time.Time) []byte {
	key := append(make([]byte, 0, 25), tablePastMethod)
	return binary.BigEndian.AppendUint64(append(key, k[:]...), ordered(since))
}

func messageKey(p eventstore.Position) []byte {
	return binary.BigEndian.AppendUint64([]byte{tableMessage}, uint64(p))
}

// lastPosition reads the position at the end of a key.
func lastPosition(key []byte) eventstore.Position {
	return eventstore.Position(binary.BigEndian.Uint64(key[len(key)-8:]))
}
