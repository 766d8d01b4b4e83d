package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pmledger/pmledger/eventstore"
)

// end is where the stream ends: the sequence that the next write must name, and
// the log position of the last message that is really there.
type end struct {
	sequence uint64
	position eventstore.Position
	id       string      // event id of that message, "" when there is none
	header   nats.Header // of that message; nil when this publisher wrote it
}

// stored is a message read back from the stream.
type stored struct {
	position, prev eventstore.Position
	id             string
	header         nats.Header
}

const errNoMessage = 10037 // JetStream's code for it

// open finds the stream's end and makes sure that it continues this log.
func (p *Publisher) open(ctx context.Context) (end, error) {
	info, err := p.bus.Ready(ctx)
	if err != nil {
		return end{}, err
	}
	if hole, err := p.audit(ctx, info); err != nil {
		return end{}, err
	} else if hole != "" {
		if p.o.Server == nil {
			return end{}, &HaltedError{ErrHole, hole + "; delete the stream and it is filled again from the log"}
		}
		stream, err := p.rebuild(ctx, hole)
		if err != nil {
			return end{}, err
		}
		info = stream.CachedInfo()
	}
	e, err := p.endOf(ctx, info)
	if err != nil {
		return end{}, err
	}
	return p.located(ctx, e)
}

// readEnd finds the stream's end without the checks of open. The position is the
// one that the message tells.
func (p *Publisher) readEnd(ctx context.Context) (end, error) {
	info, err := p.bus.Info(ctx, false)
	if err != nil {
		return end{}, err
	}
	return p.endOf(ctx, info)
}

// endOf reads the position from the stream's last message. After a power loss the
// last sequences may name messages that are gone; then the last surviving message
// counts, taken from one answer that lists what is missing, while writes still
// name the last sequence.
func (p *Publisher) endOf(ctx context.Context, info *jetstream.StreamInfo) (end, error) {
	e := end{sequence: info.State.LastSeq}
	if e.sequence == 0 {
		return e, nil
	}
	m, err := p.read(ctx, e.sequence)
	if errors.Is(err, ErrMissing) {
		if info, err = p.bus.Info(ctx, true); err != nil {
			return end{}, err
		}
		e.sequence = info.State.LastSeq
		last := lastSurvivor(info.State)
		if last == 0 && limited(info.Config) {
			return end{}, &HaltedError{ErrHole, "its limits have removed every message, the last one too, so that its place in the log is unknown; raise the limits and delete the stream"}
		}
		if last == 0 {
			return e, nil
		}
		m, err = p.read(ctx, last)
	}
	if err != nil {
		return end{}, err
	}
	e.position, e.id, e.header = m.position, m.id, m.header
	return e, nil
}

// lastSurvivor is the highest sequence that is still there, 0 for none.
func lastSurvivor(s jetstream.StreamState) uint64 {
	if s.Msgs == 0 {
		return 0
	}
	missing := missingOf(s)
	for q := s.LastSeq; q >= max(s.FirstSeq, 1); q-- {
		if !missing[q] {
			return q
		}
	}
	return 0
}

func missingOf(s jetstream.StreamState) map[uint64]bool {
	missing := make(map[uint64]bool, len(s.Deleted))
	for _, q := range s.Deleted {
		missing[q] = true
	}
	if s.Lost != nil {
		for _, q := range s.Lost.Msgs {
			missing[q] = true
		}
	}
	return missing
}

// read fetches what a message of the stream says about its place.
func (p *Publisher) read(ctx context.Context, sequence uint64) (stored, error) {
	header, err := p.bus.Get(ctx, sequence)
	if err != nil {
		return stored{}, fmt.Errorf("reading message %d of the stream: %w", sequence, err)
	}
	m := stored{id: header.Get("ce-id"), header: header}
	if m.position, err = position(header.Get("ce-pmposition")); err != nil {
		return stored{}, foreign(sequence)
	}
	if m.prev, err = position(header.Get("ce-pmprev")); err != nil {
		return stored{}, foreign(sequence)
	}
	return m, nil
}

// get asks the stream's leader, not whichever replica answers first as the
// client's own call would.
func (p *Publisher) get(ctx context.Context, sequence uint64) (nats.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.AckTimeout)
	defer cancel()
	reply, err := p.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+StreamName, fmt.Appendf(nil, `{"seq":%d}`, sequence))
	if err != nil {
		return nil, unavailable(err)
	}
	var answer struct {
		Message struct {
			Header []byte `json:"hdrs"`
		} `json:"message"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return nil, err
	}
	if answer.Error != nil && answer.Error.ErrorCode == errNoMessage {
		return nil, ErrMissing
	}
	if answer.Error != nil {
		return nil, answer.Error
	}
	header, err := nats.DecodeHeadersMsg(answer.Message.Header)
	if err != nil {
		return nil, nil // a message of somebody else's: read says so
	}
	return header, nil
}

func foreign(sequence uint64) error {
	return &HaltedError{ErrOtherLog, fmt.Sprintf("message %d has no log position; something else writes to it; delete the stream and keep others from publishing to %s", sequence, inputSubjects)}
}

func position(s string) (eventstore.Position, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	return eventstore.Position(n), err
}
