package kurrenttest

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Record is an event as the server keeps it.
type Record struct {
	ID          uuid.UUID
	Stream      string
	Revision    uint64 // 0 is a stream's first
	Position    uint64 // commit and prepare position alike
	Type        string
	ContentType string
	Created     time.Time
	Data        []byte
	Metadata    []byte // the client's own
}

// Expected revisions that are no revision, with the server's own numbers.
const (
	expectNoStream = -1
	expectAny      = -2
	expectExists   = -4
)

// firstPosition is where the log of the server begins: never at 0, which is taken
// by a record of its own that no client sees.
const firstPosition = 377

// recentIDs is how many event ids the server remembers for appends that expect
// nothing in particular.
const recentIDs = 1024

// log is what the nodes of a cluster share: the records that a majority has.
type log struct {
	systemEvery int

	mu      sync.Mutex
	records []*Record // in the order of their positions
	streams map[string]*stream
	recent  map[uuid.UUID]*Record
	order   []uuid.UUID // the keys of recent, oldest first
	next    uint64      // position of the next record
	changed chan struct{}
	appends int // of clients, without repeats
	repeats int
}

// stream is the index of one stream.
type stream struct {
	at      []int // places in records, by revision
	from    uint64
	deleted bool // a tombstone: nothing can be read or written any more
}

func newLog(systemEvery int) *log {
	l := &log{
		systemEvery: systemEvery, streams: map[string]*stream{}, recent: map[uuid.UUID]*Record{},
		next: firstPosition, changed: make(chan struct{}),
	}
	for _, name := range []string{"$settings", "$user-admin", "$users"} {
		l.put(&Record{ID: uuid.New(), Stream: name, Type: "$system", Data: []byte(`{}`), ContentType: contentJSON})
	}
	return l
}

// put gives a record its place. The caller holds mu, or the log is not shared yet.
func (l *log) put(r *Record) {
	s := l.streams[r.Stream]
	if s == nil {
		s = &stream{}
		l.streams[r.Stream] = s
	}
	r.Revision, r.Position, r.Created = uint64(len(s.at)), l.next, time.Now()
	s.at = append(s.at, len(l.records))
	l.records = append(l.records, r)
	l.next += uint64(131 + len(r.Stream) + 2*len(r.Type) + len(r.Data) + len(r.Metadata))
	l.recent[r.ID] = r
	if l.order = append(l.order, r.ID); len(l.order) > recentIDs {
		delete(l.recent, l.order[0])
		l.order = l.order[1:]
	}
}

// wake tells all who wait that there is more to see. The caller holds mu.
func (l *log) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// written is the result of an append.
type written struct {
	revision uint64
	position uint64 // 0: the server does not tell
	wrong    bool   // the stream is not at the expected revision
	current  int64  // its last revision then; -1: it does not exist
	deleted  bool
}

// append appends the records to one stream, all or none.
func (l *log) append(name string, expected int64, records []*Record) written {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.streams[name]
	if s == nil {
		s = &stream{}
	}
	if s.deleted {
		return written{deleted: true}
	}
	current := int64(len(s.at)) - 1
	switch l.decide(s, name, expected, records) {
	case repeat:
		return l.repeated(s, expected, records)
	case conflict:
		return written{wrong: true, current: s.visibleCurrent()}
	}
	for _, r := range records {
		l.put(r)
	}
	if s = l.streams[name]; s != nil && s.from == math.MaxInt64 {
		s.from = uint64(current + 1) // what was deleted stays so, the stream goes on
	}
	l.appends++
	last := records[len(records)-1]
	if l.systemEvery > 0 && l.appends%l.systemEvery == 0 {
		l.put(&Record{ID: uuid.New(), Stream: "$stats-127.0.0.1:2113", Type: "$statsCollected", Data: []byte(`{}`), ContentType: contentJSON})
	}
	l.wake()
	return written{revision: last.Revision, position: last.Position}
}

// visibleCurrent is the last revision as a client sees it.
func (s *stream) visibleCurrent() int64 {
	if s.from == math.MaxInt64 {
		return -1
	}
	return int64(len(s.at)) - 1
}

type verdict int

const (
	fresh verdict = iota
	repeat
	conflict
)

// decide follows the server: a repeat is recognized by the ids at exactly the
// revisions it would have taken; one that expects the present revision is not
// looked at; and without a revision only a bounded memory of ids is asked.
func (l *log) decide(s *stream, name string, expected int64, records []*Record) verdict {
	current := int64(len(s.at)) - 1
	switch {
	case expected == expectExists && s.visibleCurrent() < 0:
		return conflict
	case expected == expectAny || expected == expectExists:
		return l.decideByMemory(name, records)
	case expected > current:
		return conflict
	case expected == current:
		return fresh
	case expected == expectNoStream && s.from == math.MaxInt64:
		return fresh
	}
	for i, r := range records {
		at := expected + 1 + int64(i)
		if at > current || l.records[s.at[at]].ID != r.ID {
			return conflict // also when the first ones were the same
		}
	}
	return repeat
}

func (l *log) decideByMemory(name string, records []*Record) verdict {
	for i, r := range records {
		known := l.recent[r.ID]
		same := known != nil && known.Stream == name &&
			(i == 0 || known.Revision == l.recent[records[i-1].ID].Revision+1)
		if !same && i == 0 {
			return fresh
		}
		if !same {
			return conflict
		}
	}
	return repeat
}

// repeated answers a repeat with where the first one went. Every other time it
// does not tell the position, as servers may.
func (l *log) repeated(s *stream, expected int64, records []*Record) written {
	l.repeats++
	w := written{}
	if expected >= expectNoStream {
		w.revision = uint64(expected + int64(len(records)))
	} else {
		w.revision = l.recent[records[len(records)-1].ID].Revision
	}
	if l.repeats%2 == 1 {
		w.position = l.records[s.at[w.revision]].Position
	}
	return w
}

// remove deletes a stream: softly, so that it can begin again, or for ever.
func (l *log) remove(name string, expected int64, forEver bool) written {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.streams[name]
	if s == nil {
		s = &stream{}
	}
	current := s.visibleCurrent()
	switch {
	case s.deleted:
		return written{deleted: true}
	case expected >= expectNoStream && expected != current, expected == expectExists && current < 0:
		return written{wrong: true, current: current}
	}
	if forEver {
		l.put(&Record{ID: uuid.New(), Stream: name, Type: "$streamDeleted", Data: []byte{}})
		l.streams[name].deleted = true
	} else {
		l.put(&Record{ID: uuid.New(), Stream: "$$" + name, Type: "$metadata", ContentType: contentJSON, Data: fmt.Appendf(nil, `{"$tb":%d}`, int64(math.MaxInt64))})
		if l.streams[name] == nil {
			l.streams[name] = &stream{}
		}
		l.streams[name].from = math.MaxInt64
	}
	l.wake()
	return written{position: l.records[len(l.records)-1].Position}
}

// length is the number of records, and the channel that closes when it grows.
func (l *log) length() (int, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.records), l.changed
}

// slice returns the records from one place up to before another.
func (l *log) slice(from, to int) []*Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records[from:to:to]
}

// place finds the record at a position. exact is false when there is none; then
// the place is that of the first record after it.
func (l *log) place(position uint64) (at int, exact bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.BinarySearchFunc(l.records, position, func(r *Record, p uint64) int {
		switch {
		case r.Position < p:
			return -1
		case r.Position > p:
			return 1
		default:
			return 0
		}
	})
}

// of returns the records of a stream among the first visible ones of the log.
func (l *log) of(name string, visible int) (records []*Record, exists, deleted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.streams[name]
	if s == nil {
		return nil, false, false
	}
	if s.deleted {
		return nil, true, true
	}
	end, _ := slices.BinarySearch(s.at, visible)
	for revision := s.from; revision < uint64(end); revision++ {
		records = append(records, l.records[s.at[revision]])
	}
	return records, end > 0 && s.from < math.MaxInt64, false
}
