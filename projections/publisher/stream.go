package publisher

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pmledger/pmledger/projections"
)

// StreamName is the stream that consumers name.
const StreamName = "PM_EVENTS"

const (
	inputSubjects  = projections.InputSubjectPrefix + ">"
	publicSubjects = projections.SubjectPrefix + ">"
)

// duplicateWindow is how long the stream remembers ids. Nothing here relies on
// it, see endOf, and it costs about 150 bytes of memory a message: with the two
// minutes that are JetStream's default, 0.2 GB at 12 000 messages a second.
const duplicateWindow = 10 * time.Second

// require sets what every stream of events must have and leaves the rest alone:
// replicas, placement and limits of an external stream are its operator's.
//
// The stream listens on one subject space and republishes on another. One that
// listened on the public subjects would let anyone add events, and would show
// plain subscribers messages that it then refuses.
func require(c jetstream.StreamConfig, embedded bool) jetstream.StreamConfig {
	c.Name = StreamName
	c.Description = "public events of pmledger, in log order"
	c.Subjects = []string{inputSubjects}
	c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: inputSubjects, Destination: publicSubjects}
	c.RePublish = &jetstream.RePublish{Source: publicSubjects, Destination: publicSubjects}
	c.Retention = jetstream.LimitsPolicy
	c.Storage = jetstream.FileStorage
	c.PersistMode = jetstream.DefaultPersistMode
	c.AllowAtomicPublish, c.AllowDirect = true, true
	c.DenyDelete, c.DenyPurge, c.AllowRollup = true, true, false
	c.NoAck, c.Sealed = false, false
	c.MaxMsgsPerSubject, c.MaxMsgSize, c.DiscardNewPerSubject = -1, -1, false
	c.AllowMsgTTL, c.AllowMsgCounter, c.AllowMsgSchedules = false, false, false
	if embedded {
		c.MaxAge, c.MaxBytes, c.MaxMsgs, c.Discard = 0, -1, -1, jetstream.DiscardOld
		c.Duplicates = duplicateWindow
	}
	return c
}

// ensure creates the stream, or brings the settings of the one that is there into
// order. A setting that cannot be changed halts the publisher with ErrUnfit; an
// embedded stream is made anew instead.
func (p *Publisher) ensure(ctx context.Context) (jetstream.Stream, error) {
	embedded := p.o.Server != nil
	stream, err := p.js.Stream(ctx, StreamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return p.create(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("the stream %s: %w", StreamName, err)
	}
	have := stream.CachedInfo().Config
	want := require(have, embedded)
	if have.Mirror != nil || len(have.Sources) > 0 {
		return nil, &HaltedError{ErrUnfit, "it copies other streams; remove it, or give pmledger another NATS account"}
	}
	if settled(have, want) {
		return stream, nil
	}
	p.o.Logger.Warn("the settings of the stream are repaired", "stream", StreamName)
	stream, err = p.js.UpdateStream(ctx, want)
	var refused *jetstream.APIError
	if err == nil || !errors.As(err, &refused) || refused.Code >= 500 && refused.ErrorCode != errInvalidConfig {
		return stream, err
	}
	if embedded {
		return p.rebuild(ctx, fmt.Sprintf("its settings cannot be repaired: %v", err))
	}
	return nil, &HaltedError{ErrUnfit, fmt.Sprintf("its settings cannot be repaired (%v); delete the stream and it is made and filled again", err)}
}

// errInvalidConfig is JetStream's code for settings that cannot be, which it
// answers with status 500.
const errInvalidConfig = 10052

func (p *Publisher) create(ctx context.Context) (jetstream.Stream, error) {
	c := require(jetstream.StreamConfig{Replicas: p.o.Replicas, MaxConsumers: -1, MaxBytes: -1, MaxMsgs: -1, Duplicates: duplicateWindow}, p.o.Server != nil)
	stream, err := p.js.CreateStream(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("the stream %s cannot be created: %w", StreamName, err)
	}
	return stream, nil
}

// rebuild replaces a damaged embedded stream by an empty one. The log refills it
// with the same subjects, bodies and headers; durable consumers keep their places.
func (p *Publisher) rebuild(ctx context.Context, cause string) (jetstream.Stream, error) {
	p.o.Logger.Error("the embedded stream is damaged and is rebuilt from the log", "stream", StreamName, "cause", cause)
	places := p.places(ctx)
	if err := p.js.DeleteStream(ctx, StreamName); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("the damaged stream %s cannot be removed: %w", StreamName, err)
	}
	p.benign = gaps{}
	p.mu.Lock()
	p.status.Rebuilds++
	p.mu.Unlock()
	stream, err := p.create(ctx)
	if err != nil {
		return nil, err
	}
	p.restore(ctx, stream, places)
	return stream, nil
}

// settled compares what require sets.
func settled(have, want jetstream.StreamConfig) bool {
	return slices.Equal(have.Subjects, want.Subjects) && reflect.DeepEqual(have.SubjectTransform, want.SubjectTransform) &&
		reflect.DeepEqual(have.RePublish, want.RePublish) && have.Description == want.Description &&
		have.Retention == want.Retention && have.Storage == want.Storage && have.PersistMode == want.PersistMode &&
		have.AllowAtomicPublish && have.AllowDirect && have.DenyDelete && have.DenyPurge && !have.AllowRollup &&
		!have.NoAck && !have.Sealed && !have.AllowMsgTTL && !have.AllowMsgCounter && !have.AllowMsgSchedules &&
		have.MaxMsgsPerSubject == want.MaxMsgsPerSubject && have.MaxMsgSize == want.MaxMsgSize && !have.DiscardNewPerSubject &&
		have.MaxAge == want.MaxAge && have.MaxBytes == want.MaxBytes && have.MaxMsgs == want.MaxMsgs &&
		have.Discard == want.Discard && have.Duplicates == want.Duplicates
}
