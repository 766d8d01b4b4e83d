package eventstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"
)

// Exported is a record as a line of an export. The lines of a whole log, in their
// order, are enough to make the same log in another store. Each holds the hash of the
// record before it in the log, so a line that was changed, lost, or moved shows.
type Exported struct {
	Record         // with its position in the log that was exported
	Follows string // LeafHash of the record before it in that log; NoPrev for the first

	meta Metadata // of a line that was read
}

// exportedLine is the JSON object on the line, its members in this order.
type exportedLine struct {
	Position Position        `json:"position"`
	Follows  string          `json:"follows"`
	Stream   string          `json:"stream"`
	Version  uint64          `json:"version"`
	ID       string          `json:"id"`
	Type     string          `json:"type"`
	Time     string          `json:"time"`
	Data     json.RawMessage `json:"data"`
	Metadata json.RawMessage `json:"metadata"`
}

// Append appends the line, its line feed included. Data and metadata go into it as
// they are stored, byte for byte. It is an error for them not to be JSON on one
// line: no ledger writes that.
func (e Exported) Append(b []byte) ([]byte, error) {
	meta, err := DecodeMetadata(e.Metadata)
	if err != nil {
		return b, err
	}
	for _, part := range [][]byte{e.Data, e.Metadata} {
		if !json.Valid(part) || bytes.ContainsAny(part, "\r\n") || len(bytes.TrimSpace(part)) != len(part) {
			return b, errors.New("the stored bytes are not JSON on one line; pmledger history verify tells more")
		}
	}
	return e.write(b, meta), nil
}

func (e Exported) write(b []byte, meta Metadata) []byte {
	b = append(b, `{"position":`...)
	b = strconv.AppendUint(b, uint64(e.Position), 10)
	b = append(b, `,"follows":"`+e.Follows+`","stream":`...)
	b = appendText(b, e.Stream)
	b = append(b, `,"version":`...)
	b = strconv.AppendUint(b, e.Version, 10)
	b = append(b, `,"id":"`+e.ID.String()+`","type":`...)
	b = appendText(b, e.Type)
	b = append(b, `,"time":"`...)
	b = meta.Time.AppendFormat(b, timeForm)
	b = append(b, `","data":`...)
	b = append(b, e.Data...)
	b = append(b, `,"metadata":`...)
	b = append(b, e.Metadata...)
	return append(b, '}', '\n')
}

func appendText(b []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // marshalling a string cannot fail
	return append(b, quoted...)
}

// ParseExported reads a line, without its line feed. It takes what Append writes
// and nothing else, so that no byte of a record can have been changed on the way
// without its being noticed here or by the hashes. The error joins every fault
// that it finds.
func ParseExported(line []byte) (Exported, error) {
	var l exportedLine
	if err := json.Unmarshal(line, &l); err != nil {
		return Exported{}, fmt.Errorf("it is not a record of an export: %w", err)
	}
	e := Exported{Record: Record{
		Stream: l.Stream, Version: l.Version, Position: l.Position, Type: l.Type, Data: l.Data, Metadata: l.Metadata,
	}, Follows: l.Follows}
	var faults []error
	fault := func(is bool, format string, args ...any) {
		if is {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(l.Position == 0, "position is missing or 0")
	fault(l.Stream == "", "stream is missing")
	fault(l.Version == 0, "version is missing or 0")
	fault(l.Type == "", "type is missing")
	var err error
	e.ID, err = uuid.Parse(l.ID)
	fault(err != nil, "id is not a UUID")
	fault(!isHash(l.Follows), "follows is not a hash")
	_, e.meta, err = DecodeRecord(e.Record)
	fault(err != nil, "%w", err)
	fault(err == nil && l.Time != e.meta.Time.Format(timeForm), "time is not the metadata's")
	if len(faults) > 0 {
		return e, errors.Join(faults...)
	}
	return e, e.sameAs(line)
}

// isHash tells whether a text has the form of a LeafHash.
func isHash(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == len(NoPrev)
}

// sameAs compares a line with the one that the record makes: an export that was
// written anew, by a formatter for instance, may look the same and is not.
func (e Exported) sameAs(line []byte) error {
	own := e.write(make([]byte, 0, len(line)+1), e.meta)
	own = own[:len(own)-1]
	if bytes.Equal(own, line) && bytes.IndexByte(line, '\r') < 0 {
		return nil
	}
	for i := range min(len(own), len(line)) {
		if own[i] != line[i] {
			return fmt.Errorf("from byte %d on it is not as pmledger events export writes it", i+1)
		}
	}
	return fmt.Errorf("it has %d bytes, and as pmledger events export writes it %d on one line", len(line), len(own))
}
