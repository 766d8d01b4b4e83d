package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore"
)

// The keys of the log. A record lies under its position, so that the whole log
// is one forward scan; the head of a stream lies under the stream's name.
//
//	'r' position(8, big endian)  ->  record
//	'h' stream                   ->  version(8) position(8) crc(4)
//
// A record as stored, integers big endian:
//
//	format(1) = 1
//	back(8)      position of the previous record of the stream, 0 for the first
//	version(8)
//	id(16)
//	len(stream)(2) len(type)(2) len(metadata)(4) len(data)(4)
//	stream type metadata data
//	crc(4)       CRC-32C of position(8) and of everything before it
//
// The checksum covers the position, so a record that turns up in another place
// is as wrong as one with a changed byte. Engine and file system have their own
// checksums; this one is there for what happens between them and us.
const (
	recordPrefix = 'r'
	headPrefix   = 'h'

	recordFormat = 1
	backOffset   = 1
	fixedSize    = 1 + 8 + 8 + 16 + 2 + 2 + 4 + 4
	crcSize      = 4
	recordKeyLen = 1 + 8
	headSize     = 8 + 8 + crcSize

	maxName        = 1 << 10 // bytes of a stream or type name
	maxAppendBytes = 8 << 20 // encoded bytes of one Append
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errDamaged = errors.New("damaged")

// head is where a stream ends: its version and the position of its last record.
// The zero head is a stream that does not exist.
type head struct {
	version uint64
	last    eventstore.Position
}

func recordKey(buf []byte, p eventstore.Position) []byte {
	return binary.BigEndian.AppendUint64(append(buf[:0], recordPrefix), uint64(p))
}

func headKey(buf []byte, stream string) []byte {
	return append(append(buf[:0], headPrefix), stream...)
}

// appendHead encodes the value under key.
func appendHead(buf, key []byte, h head) []byte {
	buf = binary.BigEndian.AppendUint64(buf[:0], h.version)
	buf = binary.BigEndian.AppendUint64(buf, uint64(h.last))
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, buf)
	return binary.BigEndian.AppendUint32(buf, sum)
}

func decodeHead(key, value []byte) (head, error) {
	if len(value) != headSize {
		return head{}, fmt.Errorf("the head of stream %s is %w: %d bytes instead of %d", key[1:], errDamaged, len(value), headSize)
	}
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value[:headSize-crcSize])
	if sum != binary.BigEndian.Uint32(value[headSize-crcSize:]) {
		return head{}, fmt.Errorf("the head of stream %s is %w: its checksum does not match", key[1:], errDamaged)
	}
	return head{
		version: binary.BigEndian.Uint64(value),
		last:    eventstore.Position(binary.BigEndian.Uint64(value[8:])),
	}, nil
}

// encodedSize is the length of r as stored in stream.
func encodedSize(stream string, r *eventstore.NewRecord) int {
	return fixedSize + len(stream) + len(r.Type) + len(r.Metadata) + len(r.Data) + crcSize
}

// encode appends r to buf with the fields that its caller knows; seal adds the
// two that only the writer knows.
func encode(buf []byte, stream string, version uint64, r *eventstore.NewRecord) []byte {
	buf = append(buf, recordFormat, 0, 0, 0, 0, 0, 0, 0, 0)
	buf = binary.BigEndian.AppendUint64(buf, version)
	buf = append(buf, r.ID[:]...)
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(stream)))
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(r.Type)))
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(r.Metadata)))
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(r.Data)))
	buf = append(buf, stream...)
	buf = append(buf, r.Type...)
	buf = append(buf, r.Metadata...)
	buf = append(buf, r.Data...)
	return append(buf, 0, 0, 0, 0)
}

// seal completes an encoded record with its back link and checksum.
func seal(value []byte, at, back eventstore.Position) {
	binary.BigEndian.PutUint64(value[backOffset:], uint64(back))
	binary.BigEndian.PutUint32(value[len(value)-crcSize:], checksum(value, at))
}

func checksum(value []byte, at eventstore.Position) uint32 {
	var p [8]byte
	binary.BigEndian.PutUint64(p[:], uint64(at))
	return crc32.Update(crc32.Checksum(p[:], castagnoli), castagnoli, value[:len(value)-crcSize])
}

// decoder turns stored bytes into records. It keeps one copy of each type name
// that it meets: there are few and every record has one. Not safe for
// concurrent use.
type decoder struct {
	types map[string]string
}

// maxTypes bounds the names a decoder keeps.
const maxTypes = 256

// decode checks the record stored at a position and returns it with its back
// link. The record shares value's memory.
func (d *decoder) decode(value []byte, at eventstore.Position) (r eventstore.Record, back eventstore.Position, err error) {
	if len(value) < fixedSize+crcSize {
		return r, 0, damagedRecord(at, "it is too short")
	}
	if binary.BigEndian.Uint32(value[len(value)-crcSize:]) != checksum(value, at) {
		return r, 0, damagedRecord(at, "its checksum does not match")
	}
	if value[0] != recordFormat {
		return r, 0, fmt.Errorf("the record at position %d has format %d, which this version of pmledger does not know: upgrade it", at, value[0])
	}
	nStream, nType := int(binary.BigEndian.Uint16(value[33:])), int(binary.BigEndian.Uint16(value[35:]))
	nMeta, nData := int(binary.BigEndian.Uint32(value[37:])), int(binary.BigEndian.Uint32(value[41:]))
	if fixedSize+nStream+nType+nMeta+nData+crcSize != len(value) {
		return r, 0, damagedRecord(at, "its lengths do not add up")
	}
	rest := value[fixedSize : len(value)-crcSize]
	r = eventstore.Record{
		ID:       uuid.UUID(value[17:33]),
		Stream:   string(rest[:nStream]),
		Version:  binary.BigEndian.Uint64(value[9:]),
		Position: at,
		Type:     d.typeName(rest[nStream : nStream+nType]),
	}
	rest = rest[nStream+nType:]
	r.Metadata, r.Data = slices.Clip(rest[:nMeta]), slices.Clip(rest[nMeta:])
	return r, eventstore.Position(binary.BigEndian.Uint64(value[backOffset:])), nil
}

func (d *decoder) typeName(b []byte) string {
	if name, ok := d.types[string(b)]; ok {
		return name
	}
	if d.types == nil || len(d.types) >= maxTypes {
		d.types = make(map[string]string)
	}
	name := string(b)
	d.types[name] = name
	return name
}

func damagedRecord(at eventstore.Position, how string) error {
	return fmt.Errorf("the record at position %d is %w: %s", at, errDamaged, how)
}
