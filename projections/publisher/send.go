package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/pmledger/pmledger/eventstore/planted"
	"github.com/pmledger/pmledger/projections"
)

// Headers of JetStream that the client library does not name.
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
	headerExpectStream  = "Nats-Expected-Stream"
	headerExpectLast    = "Nats-Expected-Last-Sequence"
)

// Codes with which JetStream refuses a write that comes too late. A cluster looks
// at the ids of messages before it looks at the sequence, and so does a single
// server for a batch.
const (
	errWrongLast         = 10071
	errWrongLastConstant = 10164
	errBatchDuplicate    = 10201
	errIDInProcess       = 10158 // another's write, not yet stored by most replicas
)

// ack is JetStream's answer to a write.
type ack struct {
	Stream    string `json:"stream"`
	Sequence  uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"`
	Batch     string `json:"batch"`
	Count     int    `json:"count"`
	Error     *struct {
		Code        int    `json:"code"`
		ErrCode     int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
}

// publish stores a window of messages after the stream's end and returns the new
// end. On an error the end it returns is the last one that was acknowledged; more
// may have been stored.
//
// A few messages go out singly and at once, each naming the sequence that the one
// before it will have. Many go out as one atomic batch, which costs one sync.
func (p *Publisher) publish(ctx context.Context, from end, messages []projections.Message) (end, error) {
	p.windows++
	if len(messages) <= singlesMax {
		return p.singles(ctx, from, messages)
	}
	size := 0
	for i := range messages {
		if size += len(messages[i].Body); size > batchBytes && i > singlesMax {
			messages = messages[:i]
			break
		}
	}
	return p.batch(ctx, from, messages)
}

func (p *Publisher) singles(ctx context.Context, from end, messages []projections.Message) (end, error) {
	for i := range messages {
		p.set(headerExpectLast, strconv.FormatUint(from.sequence+uint64(i), 10))
		if err := p.send(&messages[i], p.replyTo(i)); err != nil {
			return from, err
		}
	}
	timeout := time.NewTimer(p.o.AckTimeout)
	defer timeout.Stop()
	at := from
	for i := range messages {
		a, err := p.await(ctx, timeout.C, i)
		if err != nil {
			return at, err
		}
		if err := a.refusal(); err != nil {
			return at, err
		}
		if a.Sequence != at.sequence+1 {
			return at, fmt.Errorf("the stream acknowledged sequence %d instead of %d", a.Sequence, at.sequence+1)
		}
		at = after(at, &messages[i], 1)
	}
	return at, nil
}

func (p *Publisher) batch(ctx context.Context, from end, messages []projections.Message) (end, error) {
	defer func() {
		delete(p.header, headerBatchID)
		delete(p.header, headerBatchSequence)
		delete(p.header, headerBatchCommit)
	}()
	id := nuid.Next()
	last := len(messages) - 1
	p.set(headerBatchID, id)
	for i := range messages {
		reply := ""
		if i == 0 {
			p.set(headerExpectLast, strconv.FormatUint(from.sequence, 10))
			reply = p.replyTo(0)
		} else {
			delete(p.header, headerExpectLast)
		}
		if i == last {
			p.set(headerBatchCommit, "1")
			reply = p.replyTo(last)
		}
		p.set(headerBatchSequence, strconv.Itoa(i+1))
		if err := p.send(&messages[i], reply); err != nil {
			return from, err
		}
	}
	timeout := time.NewTimer(p.o.AckTimeout)
	defer timeout.Stop()
	for _, i := range []int{0, last} {
		a, err := p.await(ctx, timeout.C, i)
		if err != nil {
			return from, err
		}
		if err := a.refusal(); err != nil {
			return from, err
		}
		if i == last && (a.Batch != id || a.Count != len(messages) || a.Sequence != from.sequence+uint64(len(messages))) {
			return from, fmt.Errorf("the stream acknowledged %d messages up to sequence %d instead of %d up to %d",
				a.Count, a.Sequence, len(messages), from.sequence+uint64(len(messages)))
		}
	}
	return after(from, &messages[last], uint64(len(messages))), nil
}

func after(e end, m *projections.Message, n uint64) end {
	return end{sequence: e.sequence + n, position: m.Position, id: m.EventID()}
}

// set puts a header into the map that all messages share.
func (p *Publisher) set(name, value string) {
	if values := p.header[name]; values != nil {
		values[0] = value
	} else {
		p.header[name] = []string{value}
	}
}

func (p *Publisher) send(m *projections.Message, reply string) error {
	delete(p.header, "traceparent")
	for _, h := range m.Headers() {
		p.set(h.Name, h.Value)
	}
	p.set(headerExpectStream, StreamName)
	if planted.WindowOnly.Here() {
		delete(p.header, headerExpectLast)
	}
	err := p.bus.Send(&nats.Msg{Subject: m.InputSubject(), Reply: reply, Header: p.header, Data: m.Body})
	if errors.Is(err, nats.ErrMaxPayload) {
		return &HaltedError{err, fmt.Sprintf("event %s at position %d has %d bytes; raise max_payload of the NATS server", m.EventID(), m.Position, len(m.Body))}
	}
	if err != nil {
		return fmt.Errorf("publishing position %d: %w", m.Position, err)
	}
	return nil
}

// replyTo names the subject of one acknowledgement; the window in it tells late
// answers to earlier windows apart.
func (p *Publisher) replyTo(i int) string {
	return p.inbox + strconv.FormatUint(p.windows, 36) + "-" + strconv.Itoa(i)
}

// await returns the answer to message i of this window. Answers come in the order
// of the messages.
func (p *Publisher) await(ctx context.Context, timeout <-chan time.Time, i int) (ack, error) {
	want := p.replyTo(i)
	for {
		m, err := p.bus.Answer(ctx, timeout)
		if err != nil {
			return ack{}, err
		}
		if m.Subject == want {
			return parseAck(m)
		}
		if strings.HasPrefix(m.Subject, want[:strings.LastIndexByte(want, '-')+1]) && len(m.Data) > 0 {
			return ack{}, fmt.Errorf("the stream answered out of order: %s", m.Data)
		}
	}
}

func parseAck(m *nats.Msg) (ack, error) {
	if m.Header.Get("Status") == "503" {
		return ack{}, errors.New("no stream listens for events on the NATS server")
	}
	var a ack
	if len(m.Data) == 0 { // the staged start of a batch
		return a, nil
	}
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return a, fmt.Errorf("the stream's answer %q: %w", m.Data, err)
	}
	return a, nil
}

// refusal is the error that the stream answered with, errConflict for a write that
// came too late. That the message is there already is one: who counts on its
// sequence must look at the stream again.
func (a ack) refusal() error {
	if a.Duplicate {
		return fmt.Errorf("%w: the stream has the message at sequence %d", errConflict, a.Sequence)
	}
	if a.Error == nil {
		return nil
	}
	switch a.Error.ErrCode {
	case errWrongLast, errWrongLastConstant, errBatchDuplicate, errIDInProcess:
		return fmt.Errorf("%w: %s", errConflict, a.Error.Description)
	default:
		return fmt.Errorf("the stream refused: %s (%d)", a.Error.Description, a.Error.ErrCode)
	}
}
