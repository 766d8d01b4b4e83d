package publisher

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// How the server writes a message into a block file (version 2.15): its length, sequence,
// time and the length of its subject, in little endian; subject, headers and body; a
// checksum.
const (
	recordHead   = 4 + 8 + 8 + 2
	leastRecord  = recordHead + 8
	headersFlag  = 1 << 31 // of the length
	tombstone    = 1 << 62 // of the sequence
	erased       = 1 << 63 // of the sequence
	widestMissed = 1 << 20 // sequences, many more than a power cut can take
)

// block is what a look at a block file has found.
type block struct {
	path        string
	number      int
	first, last uint64 // sequences, 0 without any message
	wrong       int64  // where a sequence cannot follow the one before it; -1: nowhere
}

// cutBlocks cuts every block file of the stream before a sequence that cannot follow the
// one before it. The server would take down the process: when it reads a block it notes
// every sequence that is missing between two messages, one by one, and looks at no
// checksum before that, so that one changed byte would fill all memory, after every start
// again. Where sequences go back it indexes the block anew for every message that it
// reads. What is missing after a cut is found by the publisher, which rebuilds the stream.
func (s *Server) cutBlocks() error {
	paths, err := s.blockFiles()
	if err != nil {
		return err
	}
	blocks := make([]block, len(paths))
	errs := make([]error, len(paths))
	turns := make(chan struct{}, runtime.GOMAXPROCS(0)) // a file of some MiB is in memory in each
	var looking sync.WaitGroup
	for i, path := range paths {
		turns <- struct{}{}
		looking.Go(func() {
			defer func() { <-turns }()
			blocks[i], errs[i] = lookAt(path)
		})
	}
	looking.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	slices.SortFunc(blocks, func(a, b block) int { return a.number - b.number })
	last := uint64(0)
	for _, b := range blocks {
		if b.first > last+widestMissed {
			b.wrong, b.last = 0, 0
		}
		if b.wrong >= 0 {
			s.options.Logger.Error("a sequence in a block file of the stream is damaged; the file is cut there, and what is missing comes from the log",
				"file", b.path, "offset", b.wrong)
			if err := os.Truncate(b.path, b.wrong); err != nil {
				return err
			}
		}
		last = max(last, b.last)
	}
	return nil
}

// lookAt reads a block file up to its end, or to where it is torn or a sequence is wrong.
func lookAt(path string) (block, error) {
	b := block{path: path, wrong: -1}
	b.number, _ = strconv.Atoi(strings.TrimSuffix(filepath.Base(path), ".blk"))
	text, err := os.ReadFile(path)
	if err != nil {
		return b, err
	}
	for at := 0; at+leastRecord <= len(text); {
		size := int(binary.LittleEndian.Uint32(text[at:]) &^ headersFlag)
		sequence := binary.LittleEndian.Uint64(text[at+4:])
		if size < leastRecord || at+size > len(text) {
			break // torn, as the server will see too
		}
		if sequence&tombstone == 0 {
			sequence &^= erased
			if b.first > 0 && (sequence <= b.last || sequence > b.last+widestMissed) {
				b.wrong = int64(at)
				break
			}
			if b.first == 0 {
				b.first = sequence
			}
			b.last = sequence
		}
		at += size
	}
	return b, nil
}
