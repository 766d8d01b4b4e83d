package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The engine writes its logs (write-ahead logs and manifests) as chunks in
// blocks of 32 KiB. A chunk never crosses a block; a record is one full chunk,
// or a first, any middles and a last.
//
//	crc(4) length(2) type(1)                                  types 1-4, manifest
//	crc(4) length(2) type(1) log number(4)                    types 5-8
//	crc(4) length(2) type(1) log number(4) synced offset(8)   types 9-12
//
// Integers are little endian. A file may be a used one under a new name, so
// what follows the end may be chunks of an earlier log number.
const (
	blockSize     = 32 << 10
	manifestChunk = 7
	logChunk      = 11
	syncChunk     = 19
	lastChunkType = 12
)

// chunkFile says how to read the chunks of one file.
type chunkFile struct {
	number   uint32 // of the log, as its chunks repeat it
	manifest bool   // its chunks carry no log number
	newest   bool   // no later log has begun
}

// chunk is a header that was found in a block.
type chunk struct {
	size   int    // header and payload
	begins bool   // a record
	ends   bool   // a record
	synced uint64 // offset up to which the log was known to be synced when it was written
}

// chain is what walking a file from its beginning found: where the valid chunks
// end, and whether something says that they should not end there.
type chain struct {
	size  int64 // of the file
	end   int64 // offset of the first byte that is no longer a valid chunk
	clean bool  // the file ends there or carries the mark of a log that was closed
	// beyond is the offset of what proves that the chain was once longer, 0 if
	// there is no proof.
	beyond int64
	proof  string
}

// at reads the chunk at the start of b, which ends with its block.
func (f chunkFile) at(b []byte) (c chunk, ok bool) {
	if len(b) < manifestChunk {
		return c, false
	}
	kind, header := b[6], logChunk
	switch {
	case f.manifest && kind >= 1 && kind <= 4:
		header = manifestChunk
	case f.manifest || kind < 5 || kind > lastChunkType:
		return c, false
	case kind >= 9:
		header = syncChunk
	}
	length := int(binary.LittleEndian.Uint16(b[4:]))
	if header+length > len(b) || !f.manifest && binary.LittleEndian.Uint32(b[7:]) != f.number {
		return c, false
	}
	if binary.LittleEndian.Uint32(b) != maskedCRC(b[6:header+length]) {
		return c, false
	}
	if header == syncChunk {
		c.synced = binary.LittleEndian.Uint64(b[11:])
	}
	part := (kind - 1) % 4 // full, first, middle, last
	c.size, c.begins, c.ends = header+length, part < 2, part == 0 || part == 3
	return c, true
}

// maskedCRC is the checksum of chunks: CRC-32C, rotated and offset.
func maskedCRC(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// closed says whether b begins with the mark that ends a log which was closed:
// an empty chunk without a checksum, of the next log number.
func (f chunkFile) closed(b []byte) bool {
	return !f.manifest && len(b) >= logChunk && isZero(b[:6]) && b[6] == 5 && binary.LittleEndian.Uint32(b[7:]) == f.number+1
}

func isZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// scan walks the chunks of a file and looks at everything after them.
//
// The engine takes the first invalid chunk for the end unless a later block
// says otherwise, so one changed byte can cost it what follows in the block, or
// everything. Here the rest is searched at every byte. Appends are synced one
// record at a time, so at most one record is not durable when power is lost,
// and its chunks may reach the disk in any order. Hence a chunk after the
// invalid one proves damage when it begins a record (the one before was
// durable then), or when it says that the invalid place had been synced. So does
// the mark of a closed log, but not in the newest one: power may have been lost
// while it was being closed. What was acknowledged there is held by the floor.
// Middle and last chunks alone are a torn write.
func (f chunkFile) scan(r io.Reader) (chain, error) {
	s := scanner{chunkFile: f}
	buf := make([]byte, blockSize)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			s.block(buf[:n])
		}
		s.size += int64(n)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			s.finish()
			return s.chain, nil
		case err != nil:
			return chain{}, fmt.Errorf("at offset %d: %w", s.size, err)
		}
		if s.clean || s.beyond != 0 {
			return s.chain, nil
		}
	}
}

// scanner is the state of a scan between two blocks.
type scanner struct {
	chunkFile
	chain
	broken   bool  // the chain has ended
	inside   bool  // a record has begun and not ended
	started  int64 // where it began
	expected int64 // where the chunk after the invalid one should be, if its length can be trusted
	mark     int64 // of a closed log, after which only zeros were seen so far
}

// block takes the next block of the file, which begins at s.size.
func (s *scanner) block(b []byte) {
	i := 0
	for !s.broken && !s.clean && i < len(b) {
		c, ok := s.at(b[i:])
		switch {
		case ok && c.begins != s.inside:
			if c.begins {
				s.started = s.size + int64(i)
			}
			s.inside = !c.ends
			i += c.size
		case len(b)-i < syncChunk && isZero(b[i:]): // too little room for a chunk
			i = len(b)
		case !s.inside && s.closed(b[i:]):
			s.clean, s.end = true, s.size+int64(i)
		default:
			s.breakAt(b, i)
			i++
		}
	}
	if s.broken {
		s.search(b, i)
	}
}

func (s *scanner) breakAt(b []byte, i int) {
	s.broken, s.end = true, s.size+int64(i)
	if len(b)-i >= manifestChunk {
		header := [...]int{manifestChunk, logChunk, syncChunk}[min(max(int(b[i+6])-1, 0)/4, 2)]
		s.expected = s.end + int64(header) + int64(binary.LittleEndian.Uint16(b[i+4:]))
	}
}

// search looks from i on for what proves that the log went on.
func (s *scanner) search(b []byte, i int) {
	for ; i < len(b) && s.beyond == 0; i++ {
		at := s.size + int64(i)
		if b[i] != 0 && s.mark != 0 && at >= s.mark+logChunk {
			s.mark = 0
		}
		if !s.newest && s.closed(b[i:]) {
			if s.mark = at; at == s.expected {
				s.beyond, s.proof = at, "the mark of a closed log"
			}
			continue
		}
		if c, ok := s.at(b[i:]); ok && (c.begins || c.synced > uint64(s.end)) {
			s.beyond, s.proof = at, "a later chunk"
		}
	}
}

// finish draws the conclusions that need the end of the file.
func (s *scanner) finish() {
	switch {
	case s.clean:
	case s.broken:
		if s.beyond == 0 && s.mark != 0 {
			s.beyond, s.proof = s.mark, "the mark of a closed log"
		}
	case s.inside:
		s.end = s.started
	default:
		s.end, s.clean = s.size, true
	}
}
