package publisher

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// maxGaps bounds the audit of a badly torn stream: with more it counts as damaged.
const maxGaps = 1000

// gaps sum up what is missing, to notice whether it has grown since it was looked
// at.
type gaps struct {
	first   uint64
	deleted int
	lost    int
}

func gapsOf(s jetstream.StreamState) gaps {
	g := gaps{first: max(s.FirstSeq, 1), deleted: s.NumDeleted}
	if s.Lost != nil {
		g.lost = len(s.Lost.Msgs)
	}
	return g
}

// audit looks for lost messages and describes the first hole it finds, "" for none.
// Sequences may be missing without harm: a tail lost in a power cut leaves a gap of
// sequences behind when its events are published again. What must be unbroken is
// the chain of positions across the gap.
func (p *Publisher) audit(ctx context.Context, info *jetstream.StreamInfo) (string, error) {
	if hole := p.spoiled(true); hole != "" {
		return hole, nil
	}
	if hole, err := p.cut(info.State); hole != "" || err != nil {
		return hole, err
	}
	s, g := info.State, gapsOf(info.State)
	whole := s.Msgs == s.LastSeq-max(s.FirstSeq, 1)+1 && g.deleted == 0 && g.lost == 0
	if s.LastSeq == 0 || whole && g.first == 1 || g == p.benign {
		return "", nil
	}
	if whole && limited(info.Config) {
		return "", nil
	}
	info, err := p.bus.Info(ctx, true)
	if err != nil {
		return "", err
	}
	hole, err := p.holes(ctx, info)
	if hole == "" && err == nil {
		p.benign = gapsOf(info.State)
		p.o.Logger.Warn("sequences are missing in the stream, but no event", "stream", StreamName, "missing", p.benign.deleted)
	}
	return hole, err
}

// cut tells whether the block files of the embedded stream are shorter than what
// it says it holds. Its server trusts its index at the start and finds a cut block
// when a consumer reads it. The files are compared once, before anything is
// published: while the server writes, they may lag behind.
func (p *Publisher) cut(s jetstream.StreamState) (string, error) {
	if p.o.Server == nil || p.compared {
		return "", nil
	}
	size, err := p.o.Server.blockBytes()
	if err != nil {
		return "", fmt.Errorf("the block files of the stream: %w", err)
	}
	if size < s.Bytes {
		return fmt.Sprintf("its files have %d bytes of %d", size, s.Bytes), nil
	}
	p.compared = true
	return "", nil
}

func (p *Publisher) holes(ctx context.Context, info *jetstream.StreamInfo) (string, error) {
	s := info.State
	missing := make([]uint64, 0, len(s.Deleted))
	for q := range missingOf(s) {
		missing = append(missing, q)
	}
	slices.Sort(missing)
	var ranges int
	if first := max(s.FirstSeq, 1); s.Msgs > 0 && !limited(info.Config) && first > 1 && !slices.Contains(missing, first) {
		if hole, err := p.broken(ctx, 0, first); hole != "" || err != nil {
			return hole, err
		}
	}
	for i := 0; i < len(missing); {
		from, to := missing[i], missing[i]
		for i++; i < len(missing) && missing[i] == to+1; i++ {
			to++
		}
		if ranges++; ranges > maxGaps {
			return fmt.Sprintf("%d messages are missing in more than %d places", len(missing), maxGaps), nil
		}
		if to >= s.LastSeq {
			continue // the tail: endOf goes on from the last survivor
		}
		before := from - 1
		if from <= max(s.FirstSeq, 1) {
			before = 0
		}
		if hole, err := p.broken(ctx, before, to+1); hole != "" || err != nil {
			return hole, err
		}
	}
	return "", nil
}

// broken describes the hole between two messages that should be neighbours; before
// 0 stands for the beginning.
func (p *Publisher) broken(ctx context.Context, before, after uint64) (string, error) {
	var left stored
	var err error
	if before > 0 {
		left, err = p.read(ctx, before)
	}
	if err == nil {
		var right stored
		if right, err = p.read(ctx, after); err == nil && right.prev == left.position {
			return "", nil
		}
		if err == nil && before > 0 {
			if next, err := p.neighbours(ctx, left, right); next || err != nil {
				return "", err
			}
		}
	}
	if err != nil && !errors.Is(err, ErrMissing) {
		return "", err
	}
	return fmt.Sprintf("the messages between sequences %d and %d are gone", before, after), nil
}

// limited reports whether the stream may drop old messages by its own settings.
func limited(c jetstream.StreamConfig) bool {
	return c.MaxAge > 0 || c.MaxBytes > 0 || c.MaxMsgs > 0
}
