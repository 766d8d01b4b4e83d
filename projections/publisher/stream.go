package publisher

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
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
// order. A setting that must not or cannot be changed halts the publisher with
// ErrUnfit; an embedded stream is made anew instead.
func (p *Publisher) ensure(ctx context.Context) (jetstream.Stream, error) {
	embedded := p.o.Server != nil
	stream, err := p.js.Stream(ctx, StreamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return p.create(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("the stream %s: %w", StreamName, unavailable(err))
	}
	if err := p.fit(stream.CachedInfo()); err != nil {
		return nil, err
	}
	have := stream.CachedInfo().Config
	want := require(have, embedded)
	if faults := unfit(have, embedded, p.nc.MaxPayload()); len(faults) > 0 {
		return nil, &HaltedError{ErrUnfit, strings.Join(faults, "; ") + "; correct the stream, delete it so that it is made and filled again, or give pmledger another NATS account"}
	}
	wrong := differences(have, want)
	if len(wrong) == 0 {
		return stream, nil
	}
	p.o.Logger.Warn("the settings of the stream are repaired", "stream", StreamName, "settings", wrong)
	stream, err = p.js.UpdateStream(ctx, want)
	var refused *jetstream.APIError
	if err == nil || !errors.As(err, &refused) || refused.Code >= 500 && refused.ErrorCode != errInvalidConfig {
		return stream, unavailable(err)
	}
	if embedded {
		return p.rebuild(ctx, fmt.Sprintf("its settings cannot be repaired: %v", err))
	}
	return nil, &HaltedError{ErrUnfit, fmt.Sprintf("its settings %v cannot be repaired (%v); delete the stream and it is made and filled again", wrong, err)}
}

// Codes of JetStream.
const (
	errInvalidConfig = 10052 // settings that cannot be, answered with status 500
	errNotClustered  = 10074 // replicas on a single server
	errNoPeers       = 10005 // fewer servers than replicas
)

// unfit lists what is wrong with a stream that is not mended by changing it: it is
// somebody else's, or its operator has chosen what would break its promises.
func unfit(c jetstream.StreamConfig, embedded bool, maxPayload int64) []string {
	var faults []string
	fault := func(is bool, format string, args ...any) {
		if is {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	fault(c.Mirror != nil || len(c.Sources) > 0, "it copies other streams")
	if embedded {
		return faults
	}
	fault(!slices.Equal(c.Subjects, []string{inputSubjects}), "it listens on %v, not on %s", c.Subjects, inputSubjects)
	fault(c.Storage != jetstream.FileStorage, "its storage is not file")
	fault(c.Retention != jetstream.LimitsPolicy, "its retention is not limits")
	fault(c.PersistMode == jetstream.AsyncPersistMode, "its persist mode is async, which acknowledges before a write is stored")
	fault(c.Sealed, "it is sealed")
	fault(c.MaxAge > 0, "its max_age of %s would empty it when nothing happens for that long, and its last message says where to go on", c.MaxAge)
	fault(c.MaxBytes > 0 && c.MaxBytes < 2*maxPayload, "its max_bytes of %d would let one large message empty it", c.MaxBytes)
	return faults
}

func (p *Publisher) create(ctx context.Context) (jetstream.Stream, error) {
	embedded := p.o.Server != nil
	replicas := p.o.Replicas
	switch {
	case embedded:
		replicas = 1
	case replicas == 0:
		replicas = clusterReplicas
	}
	stream, err := p.createWith(ctx, replicas)
	if p.o.Replicas == 0 && isAPIError(err, errNotClustered) {
		stream, err = p.createWith(ctx, 1)
	}
	switch {
	case isAPIError(err, errNotClustered):
		err = fmt.Errorf("%w: a single server keeps one replica, and --nats-replicas asks for %d", err, replicas)
	case isAPIError(err, errNoPeers):
		err = fmt.Errorf("%w: it is to have %d replicas; start more servers, or choose fewer with --nats-replicas", err, replicas)
	}
	if err != nil {
		return nil, fmt.Errorf("the stream %s cannot be created: %w", StreamName, unavailable(err))
	}
	if !embedded {
		p.o.Logger.Info("the stream is created", "stream", StreamName, "replicas", stream.CachedInfo().Config.Replicas)
	}
	return stream, p.fit(stream.CachedInfo())
}

// clusterReplicas is how many servers of a cluster keep the stream when nobody
// says otherwise: one may be lost, and writes go on.
const clusterReplicas = 3

func (p *Publisher) createWith(ctx context.Context, replicas int) (jetstream.Stream, error) {
	return p.js.CreateStream(ctx, require(jetstream.StreamConfig{
		Replicas: replicas, MaxConsumers: -1, MaxBytes: -1, MaxMsgs: -1, Duplicates: duplicateWindow,
	}, p.o.Server != nil))
}

func isAPIError(err error, code jetstream.ErrorCode) bool {
	var refused *jetstream.APIError
	return errors.As(err, &refused) && refused.ErrorCode == code
}

// rebuild replaces a damaged embedded stream by an empty one. The log refills it
// with the same subjects, bodies and headers; durable consumers keep their places.
func (p *Publisher) rebuild(ctx context.Context, cause string) (jetstream.Stream, error) {
	p.o.Logger.Error("the embedded stream is damaged and is rebuilt from the log", "stream", StreamName, "cause", cause)
	places := p.places(ctx)
	if err := p.js.DeleteStream(ctx, StreamName); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("the damaged stream %s cannot be removed: %w", StreamName, unavailable(err))
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

// differences names the settings of require that a stream does not have.
func differences(have, want jetstream.StreamConfig) []string {
	var names []string
	differ := func(name string, same bool) {
		if !same {
			names = append(names, name)
		}
	}
	differ("subjects", slices.Equal(have.Subjects, want.Subjects))
	differ("subject_transform", reflect.DeepEqual(have.SubjectTransform, want.SubjectTransform))
	differ("republish", reflect.DeepEqual(have.RePublish, want.RePublish))
	differ("description", have.Description == want.Description)
	differ("retention", have.Retention == want.Retention)
	differ("storage", have.Storage == want.Storage)
	differ("persist_mode", have.PersistMode == want.PersistMode)
	differ("allow_atomic", have.AllowAtomicPublish)
	differ("allow_direct", have.AllowDirect)
	differ("deny_delete", have.DenyDelete)
	differ("deny_purge", have.DenyPurge)
	differ("allow_rollup_hdrs", !have.AllowRollup)
	differ("no_ack", !have.NoAck)
	differ("sealed", !have.Sealed)
	differ("allow_msg_ttl", !have.AllowMsgTTL)
	differ("allow_msg_counter", !have.AllowMsgCounter)
	differ("allow_msg_schedules", !have.AllowMsgSchedules)
	differ("max_msgs_per_subject", have.MaxMsgsPerSubject == want.MaxMsgsPerSubject)
	differ("max_msg_size", have.MaxMsgSize == want.MaxMsgSize)
	differ("discard_new_per_subject", !have.DiscardNewPerSubject)
	differ("max_age", have.MaxAge == want.MaxAge)
	differ("max_bytes", have.MaxBytes == want.MaxBytes)
	differ("max_msgs", have.MaxMsgs == want.MaxMsgs)
	differ("discard", have.Discard == want.Discard)
	differ("duplicate_window", have.Duplicates == want.Duplicates)
	return names
}
