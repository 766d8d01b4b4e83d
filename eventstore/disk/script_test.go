package disk_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
)

// theWriters of a script append at the same time.
const theWriters = 3

// call is one Append, or with several parts one AppendAll.
type call []eventstore.Appending

// script is what each writer appends to streams of its own, call after call. All
// of it follows from a seed; in which order the writers come does not.
type script [theWriters][]call

func newScript(seed uint64, calls int) *script {
	s := new(script)
	for w := range s {
		rng := rand.New(rand.NewPCG(seed, uint64(w)))
		versions := map[string]uint64{}
		for range calls {
			parts := 1
			if rng.IntN(8) == 0 {
				parts = 3
			}
			var c call
			for range parts {
				stream := fmt.Sprintf("customer-acme+%d-%d", w, rng.IntN(4))
				r := scripted(rng)
				c = append(c, eventstore.Appending{Stream: stream, Version: versions[stream], Records: r})
				versions[stream] += uint64(len(r))
			}
			s[w] = append(s[w], c)
		}
	}
	return s
}

// scripted makes the records of one append: mostly small, now and then larger
// than a block of the write-ahead log.
func scripted(rng *rand.Rand) []eventstore.NewRecord {
	out := make([]eventstore.NewRecord, 1+rng.IntN(3))
	for i := range out {
		size := 50 + rng.IntN(400)
		if rng.IntN(40) == 0 {
			size = 12_000
		}
		var id uuid.UUID
		for b := range id {
			id[b] = byte(rng.Uint32())
		}
		out[i] = eventstore.NewRecord{
			ID: id, Type: "payment_method.attached",
			Data:     fmt.Appendf(nil, `{"id":"%s","filler":"%s"}`, id, strings.Repeat("f", size)),
			Metadata: fmt.Appendf(nil, `{"command_id":"%s"}`, id),
		}
	}
	return out
}

// tiny are options with which a script visits every kind of file.
func tiny(fs vfs.FS) disk.Options {
	opt := small(fs)
	opt.MemTable = 16 << 10
	return opt
}

// reached is how many of its calls each writer has made.
type reached [theWriters]int

// progress is what the writers know: which calls have begun, and which were
// acknowledged.
type progress struct {
	begun, acked [theWriters]atomic.Int64
	tell         func(writer, acked int) // nil, or told of each that was acknowledged
}

func (p *progress) set(acked, begun reached) {
	for w := range acked {
		p.acked[w].Store(int64(acked[w]))
		p.begun[w].Store(int64(begun[w]))
	}
}

func taken(from *[theWriters]atomic.Int64) (r reached) {
	for w := range from {
		r[w] = int(from[w].Load())
	}
	return r
}

// run lets each writer make so many further calls, if it meets no error. It returns
// their errors.
func (s *script) run(ctx context.Context, store *disk.Store, calls int, p *progress) []error {
	var g sync.WaitGroup
	errs := make([]error, theWriters)
	for w := range s {
		g.Go(func() {
			first := int(p.acked[w].Load())
			for i := first; i < min(first+calls, len(s[w])); i++ {
				p.begun[w].Store(int64(i + 1))
				if _, errs[w] = s[w][i].submit(ctx, store); errs[w] != nil {
					return
				}
				p.acked[w].Store(int64(i + 1))
				if p.tell != nil {
					p.tell(w, i+1)
				}
			}
		})
	}
	g.Wait()
	return errs
}

func (c call) submit(ctx context.Context, store *disk.Store) (eventstore.Position, error) {
	if len(c) == 1 {
		return store.Append(ctx, c[0].Stream, c[0].Version, c[0].Records)
	}
	return store.AppendAll(ctx, c)
}

func (c call) records() (n int) {
	for _, part := range c {
		n += len(part.Records)
	}
	return n
}

// What a recovered log can be guilty of.
var (
	errLost    = errors.New("lost")
	errDoubled = errors.New("doubled")
	errTorn    = errors.New("torn")
	errRefused = errors.New("refused")
)

// judge compares a recovered log with what was begun and what was acknowledged
// before, and returns how far each writer has come. The log must hold every call
// that was acknowledged and none that had not begun, each once and whole, in its
// writer's order, without a gap.
func (s *script) judge(log []eventstore.Record, acked, begun reached) (reached, error) {
	found := make(map[uuid.UUID]*eventstore.Record, len(log))
	versions := map[string]uint64{}
	for i := range log {
		r := &log[i]
		if found[r.ID] != nil {
			return reached{}, fmt.Errorf("%w: record %s of %s stands at %s and at %s", errDoubled, r.ID, r.Stream, found[r.ID].Position, r.Position)
		}
		found[r.ID] = r
		if versions[r.Stream]++; r.Version != versions[r.Stream] || r.Position != eventstore.Position(i+1) {
			return reached{}, fmt.Errorf("%w: record %d is version %d of %s at %s", errTorn, i+1, r.Version, r.Stream, r.Position)
		}
	}
	var to reached
	count := 0
	for w, calls := range s {
		for _, c := range calls[:begun[w]] {
			n, err := c.among(found)
			if err != nil {
				return to, err
			}
			if n == 0 {
				break
			}
			count += n
			to[w]++
		}
		if to[w] < acked[w] {
			return to, fmt.Errorf("%w: writer %d had %d calls acknowledged, %d are in the log", errLost, w, acked[w], to[w])
		}
	}
	if count != len(log) {
		return to, fmt.Errorf("%w: %d records are in the log, %d of them make whole calls in order", errTorn, len(log), count)
	}
	return to, nil
}

// among counts the records of c that were found: all of them, one behind the
// other, or none.
func (c call) among(found map[uuid.UUID]*eventstore.Record) (int, error) {
	n := 0
	var last eventstore.Position
	for _, part := range c {
		for i, want := range part.Records {
			got := found[want.ID]
			if got == nil {
				continue
			}
			if n++; n > 1 && got.Position != last+1 {
				return n, fmt.Errorf("%w: something stands between the records of one append, before %s", errTorn, got.Position)
			}
			last = got.Position
			if got.Stream != part.Stream || got.Version != part.Version+uint64(i)+1 || got.Type != want.Type ||
				!slices.Equal(got.Data, want.Data) || !slices.Equal(got.Metadata, want.Metadata) {
				return n, fmt.Errorf("%w: record %s at %s is not what was appended", errTorn, want.ID, got.Position)
			}
		}
	}
	if n != 0 && n != c.records() {
		return n, fmt.Errorf("%w: %d of %d records of one append are in the log", errTorn, n, c.records())
	}
	return n, nil
}

// recovers opens what a crash has left, checks it, goes on with it and checks it
// again.
func (s *script) recovers(fs vfs.FS, dir string, acked, begun reached) (err error) {
	store, err := disk.Open(dir, tiny(fs))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	log, err := readLog(store)
	if err != nil {
		return err
	}
	now, err := s.judge(log, acked, begun)
	if err != nil {
		return err
	}
	if now, err = s.resume(store, now); err != nil {
		return err
	}
	if log, err = readLog(store); err != nil {
		return err
	}
	_, err = s.judge(log, now, now)
	return err
}

// resume goes on with a recovered log: repeats are recognized, what others stand
// for is refused, and the next call of every writer is appended.
func (s *script) resume(store *disk.Store, from reached) (reached, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	head, err := store.Head(ctx)
	if err != nil {
		return from, err
	}
	for w, calls := range s {
		if from[w] > 0 {
			if last := calls[from[w]-1]; len(last) == 1 {
				if at, err := last.submit(ctx, store); err != nil || at > head {
					return from, fmt.Errorf("%w: a repeat was answered with position %s of %s, error %v", errDoubled, at, head, err)
				}
				other := slices.Clone(last)
				other[0].Records = slices.Clone(last[0].Records)
				other[0].Records[0].ID = uuid.New()
				conflict := (*eventstore.ConflictError)(nil)
				if _, err := other.submit(ctx, store); !errors.As(err, &conflict) {
					return from, fmt.Errorf("%w: an append at a version that is taken was answered with error %v", errLost, err)
				}
			}
		}
		if from[w] == len(calls) {
			continue
		}
		next := calls[from[w]]
		at, err := next.submit(ctx, store)
		if err != nil || at != head+eventstore.Position(next.records()) {
			return from, fmt.Errorf("%w: the next append came to %s after %s, error %v", errRefused, at, head, err)
		}
		head = at
		from[w]++
	}
	return from, nil
}
