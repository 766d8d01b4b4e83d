package eventstore

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
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

type storedMetadata struct {
	Time        string `json:"time"`
	Schema      string `json:"schema"`
	Prev        string `json:"prev"`
	CommandID   string `json:"command_id"`
	RequestMAC  string `json:"request_mac,omitempty"`
	Actor       string `json:"actor,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Correlation string `json:"$correlationId,omitempty"`
	Causation   string `json:"$causationId,omitempty"`
	Traceparent string `json:"traceparent,omitempty"`
}

// timeForm is RFC 3339 with exactly three digits of a second.
const timeForm = "2006-01-02T15:04:05.000Z"

// Encode writes the metadata as it is stored.
func (m Metadata) Encode() ([]byte, error) {
	return json.Marshal(storedMetadata{
		Time: m.Time.UTC().Format(timeForm), Schema: strconv.Itoa(m.Schema), Prev: m.Prev,
		CommandID: m.CommandID, RequestMAC: m.RequestMAC, Actor: m.Actor, Reason: m.Reason,
		Correlation: m.Correlation, Causation: m.Causation, Traceparent: m.Traceparent,
	})
}

// DecodeMetadata reads a record's metadata. Members it does not know are ignored.
func DecodeMetadata(data []byte) (Metadata, error) {
	var s storedMetadata
	if err := json.Unmarshal(data, &s); err != nil {
		return Metadata{}, fmt.Errorf("metadata: %w", err)
	}
	at, err := time.Parse(timeForm, s.Time)
	if err != nil {
		return Metadata{}, fmt.Errorf("metadata: time: %w", err)
	}
	schema, err := strconv.Atoi(s.Schema)
	if err != nil {
		return Metadata{}, fmt.Errorf("metadata: schema: %w", err)
	}
	return Metadata{
		Time: at, Schema: schema, Prev: s.Prev, CommandID: s.CommandID, RequestMAC: s.RequestMAC,
		Actor: s.Actor, Reason: s.Reason, Correlation: s.Correlation, Causation: s.Causation, Traceparent: s.Traceparent,
	}, nil
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
	leaf := make([]byte, 0, 2+4*4+8+16+len(stream)+len(typ)+len(metadata)+len(data))
	leaf = append(leaf, 0x00, leafVersion)
	leaf = appendPrefixed(leaf, stream)
	leaf = binary.BigEndian.AppendUint64(leaf, version)
	leaf = append(leaf, id[:]...)
	leaf = appendPrefixed(leaf, typ)
	leaf = appendPrefixed(leaf, metadata)
	leaf = appendPrefixed(leaf, data)
	sum := sha256.Sum256(leaf)
	return hex.EncodeToString(sum[:])
}

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
