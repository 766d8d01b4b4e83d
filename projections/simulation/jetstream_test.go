package simulation

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pmledger/pmledger/projections"
	"github.com/pmledger/pmledger/projections/publisher"
)

// duplicateWindow is how long the publisher's own stream remembers ids.
const duplicateWindow = 10 * time.Second

// Codes with which JetStream refuses.
const (
	codeWrongLast      = 10071
	codeBatchDuplicate = 10201
)

// stream is a model of the one JetStream stream, as far as publishing asks
// anything of it. TestTheModelAnswersAsAServer holds it to a real one.
type stream struct {
	now      func() time.Time
	window   time.Duration // how long ids are remembered
	messages []kept
	last     uint64 // sequence; that of a message which is lost, perhaps
	ids      map[string]known
	batches  map[string]*batch
	// idsFirst: ids are looked at before the sequence, as the servers of a cluster
	// do. For batches every server does.
	idsFirst bool
}

type kept struct {
	sequence uint64
	subject  string
	header   nats.Header
	data     string
	at       time.Time
}

type known struct {
	sequence uint64
	at       time.Time
}

// batch is an atomic batch that is not complete yet.
type batch struct {
	messages []kept
	expected string
}

func newStream(now func() time.Time) *stream {
	return &stream{now: now, window: duplicateWindow, ids: map[string]known{}, batches: map[string]*batch{}}
}

// answer is the server's, as JSON.
type answer struct {
	Error     *refusal `json:"error,omitempty"`
	Stream    string   `json:"stream"`
	Sequence  uint64   `json:"seq"`
	Duplicate bool     `json:"duplicate,omitempty"`
	Batch     string   `json:"batch,omitempty"`
	Count     int      `json:"count,omitempty"`
}

type refusal struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

// receive takes a message and returns what goes to its reply subject, nil for
// nothing. An empty answer says that the message is staged.
func (s *stream) receive(m *nats.Msg) []byte {
	k := kept{subject: publicSubject(m.Subject), header: copyOf(m.Header), data: string(m.Data)}
	expected := m.Header.Get("Nats-Expected-Last-Sequence")
	if id := m.Header.Get("Nats-Batch-Id"); id != "" {
		return s.stage(id, m.Header, expected, k)
	}
	if s.idsFirst {
		if first, twice := s.known(k); twice {
			return encode(answer{Stream: publisher.StreamName, Sequence: first, Duplicate: true})
		}
	}
	if wrong := s.wrongLast(expected); wrong != nil {
		return wrong
	}
	if first, twice := s.known(k); twice {
		return encode(answer{Stream: publisher.StreamName, Sequence: first, Duplicate: true})
	}
	s.store(k)
	return encode(answer{Stream: publisher.StreamName, Sequence: s.last})
}

func (s *stream) stage(id string, header nats.Header, expected string, k kept) []byte {
	number, _ := strconv.Atoi(header.Get("Nats-Batch-Sequence"))
	b := s.batches[id]
	if number == 1 {
		b = &batch{expected: expected}
		s.batches[id] = b
	}
	if b == nil || number != len(b.messages)+1 {
		delete(s.batches, id)
		return nil // the publisher never leaves out a message of a batch
	}
	b.messages = append(b.messages, k)
	if header.Get("Nats-Batch-Commit") == "" {
		return []byte{}
	}
	delete(s.batches, id)
	for _, k := range b.messages {
		if _, twice := s.known(k); twice {
			return refuse(codeBatchDuplicate, "atomic publish batch contains duplicate message id")
		}
	}
	if wrong := s.wrongLast(b.expected); wrong != nil {
		return wrong
	}
	for _, k := range b.messages {
		s.store(k)
	}
	return encode(answer{Stream: publisher.StreamName, Sequence: s.last, Batch: id, Count: len(b.messages)})
}

func (s *stream) wrongLast(expected string) []byte {
	if expected == "" || expected == strconv.FormatUint(s.last, 10) {
		return nil
	}
	return refuse(codeWrongLast, fmt.Sprintf("wrong last sequence: %d", s.last))
}

func (s *stream) known(k kept) (uint64, bool) {
	first, ok := s.ids[k.header.Get(nats.MsgIdHdr)]
	return first.sequence, ok && s.now().Sub(first.at) < s.window
}

func (s *stream) store(k kept) {
	s.last++
	k.sequence, k.at = s.last, s.now()
	s.messages = append(s.messages, k)
	s.ids[k.header.Get(nats.MsgIdHdr)] = known{k.sequence, k.at}
}

// restart loses the last n messages, as a server does that was not told to sync
// when the power fails. Either the stream knows of them no more, or it remembers
// their sequences.
func (s *stream) restart(n int, remembers bool) {
	n = min(n, len(s.messages))
	s.messages = s.messages[:len(s.messages)-n]
	if !remembers {
		s.last = 0
		if len(s.messages) > 0 {
			s.last = s.messages[len(s.messages)-1].sequence
		}
	}
	clear(s.batches)
	clear(s.ids)
	for _, k := range s.messages {
		s.ids[k.header.Get(nats.MsgIdHdr)] = known{k.sequence, k.at}
	}
}

func (s *stream) info(missing bool) *jetstream.StreamInfo {
	state := jetstream.StreamState{Msgs: uint64(len(s.messages)), LastSeq: s.last, FirstSeq: s.last + 1}
	if len(s.messages) > 0 {
		state.FirstSeq = s.messages[0].sequence
	} else if s.last == 0 {
		state.FirstSeq = 0
	}
	deleted := []uint64{}
	next := state.FirstSeq
	for _, k := range s.messages {
		for ; next < k.sequence; next++ {
			deleted = append(deleted, next)
		}
		next = k.sequence + 1
	}
	if len(s.messages) > 0 {
		for ; next <= s.last; next++ {
			deleted = append(deleted, next)
		}
	}
	state.NumDeleted = len(deleted)
	if missing {
		state.Deleted = deleted
	}
	return &jetstream.StreamInfo{State: state}
}

func (s *stream) get(sequence uint64) (nats.Header, error) {
	i, found := slices.BinarySearchFunc(s.messages, sequence, func(k kept, q uint64) int { return int(k.sequence) - int(q) })
	if !found {
		return nil, publisher.ErrMissing
	}
	return copyOf(s.messages[i].header), nil
}

// publicSubject is where the stream keeps what is written to an input subject.
func publicSubject(input string) string {
	return projections.SubjectPrefix + input[len(projections.InputSubjectPrefix):]
}

// copyOf copies headers whose values their owner will write over.
func copyOf(h nats.Header) nats.Header {
	c := maps.Clone(h)
	for name, values := range c {
		c[name] = slices.Clone(values)
	}
	return c
}

func encode(a answer) []byte {
	text, err := json.Marshal(a)
	if err != nil {
		panic(err)
	}
	return text
}

func refuse(code int, description string) []byte {
	return encode(answer{Error: &refusal{400, code, description}, Stream: publisher.StreamName})
}
