package eventstore

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Metadata is what a record says about its own making. It is stored as a JSON
// object with string values only.
type Metadata struct {
	Time        time.Time // of the event, whole milliseconds, UTC; never goes back within a stream
	Schema      int       // of the data
	Prev        string    // LeafHash of the stream's previous record; zeros for the first
	CommandID   string    // idempotency key, or a fresh UUID
	RequestMAC  string    // HMAC-SHA256 of the canonical request; only with an idempotency key
	Actor       string    // who asked
	Reason      string    // why, in the caller's words
	Correlation string    // request id
	Causation   string    // event that led to the command, if one did
	Traceparent string    // W3C trace context
}

// NoPrev is the prev of a stream's first record.
var NoPrev = strings.Repeat("0", 2*sha256.Size)

// leafVersion is the first byte of a leaf; another layout would get another one.
const leafVersion = 1

// LeafHash is the hash that the next record of the stream carries as prev, in
// lower-case hex: SHA-256 of 0x00 and the leaf
//
//	u8 1 ‖ lp(stream) ‖ u64 version ‖ 16-byte id ‖ lp(type) ‖ lp(metadata) ‖ lp(data)
//
// where lp(x) is the length of x as u32 followed by x, and integers are big
// endian. It covers the exact stored bytes; nothing is ever encoded again. The
// position is left out: it changes when a log is moved to another store.
func LeafHash(stream string, version uint64, id uuid.UUID, typ string, metadata, data []byte) string {
	buffer := leaves.Get().(*[]byte)
	leaf := append((*buffer)[:0], 0x00, leafVersion)
	leaf = appendPrefixed(leaf, stream)
	leaf = binary.BigEndian.AppendUint64(leaf, version)
	leaf = append(leaf, id[:]...)
	leaf = appendPrefixed(leaf, typ)
	leaf = appendPrefixed(leaf, metadata)
	leaf = appendPrefixed(leaf, data)
	sum := sha256.Sum256(leaf)
	*buffer = leaf
	leaves.Put(buffer)
	return hex.EncodeToString(sum[:])
}

var leaves = sync.Pool{New: func() any { return new([]byte) }}

func appendPrefixed[B string | []byte](to []byte, b B) []byte {
	to = binary.BigEndian.AppendUint32(to, uint32(len(b)))
	return append(to, b...)
}

// LeafHash is the leaf hash of a stored record.
func (r Record) LeafHash() string {
	return LeafHash(r.Stream, r.Version, r.ID, r.Type, r.Metadata, r.Data)
}

// eventNamespace is the UUID under which event ids are derived.
var eventNamespace = uuid.MustParse("5f0c2a52-3c1b-5b0e-9a53-7d1f0e6f6c11")

// EventID is the id of a command's index-th record in a stream: the same command
// always makes the same ids, so a store can tell a repeat from a second event.
func EventID(stream, commandID string, index int) uuid.UUID {
	name := make([]byte, 0, len(stream)+len(commandID)+12)
	name = appendPrefixed(name, stream)
	name = appendPrefixed(name, commandID)
	name = binary.BigEndian.AppendUint32(name, uint32(index))
	return uuid.NewSHA1(eventNamespace, name)
}
