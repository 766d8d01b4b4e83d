package projections

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/planted"
)

const (
	// firstRetry and lastRetry bound the pause before the log is followed again
	// after it could not be.
	firstRetry = 50 * time.Millisecond
	lastRetry  = 5 * time.Second
	// gatePause is how often a closed free-space gate is asked again.
	gatePause = 200 * time.Millisecond
	// idleRecords is how many records a projection may pass without use before
	// its checkpoint is written all the same.
	idleRecords = 8192
)

// Run follows the log and applies it until ctx ends, and then returns nil. While
// the log cannot be followed it tries again, ever more slowly. It returns an
// error when trying again cannot help: the store or the views were closed, the
// views are ahead of the log, or their database failed. Call it once.
func (v *Views) Run(ctx context.Context) error {
	result := fmt.Errorf("the views' database failed")
	done := make(chan struct{})
	// A fatal error of the engine ends the goroutine that met it, so it must not
	// be the caller's.
	go func() {
		defer close(done)
		result = v.run(ctx)
	}()
	<-done
	if cause := v.fatal.cause(); cause != nil {
		v.progress.wake()
		return fmt.Errorf("the views' database failed: %w", cause)
	}
	return result
}

// Step applies the next records of the log, one batch at most, and does not wait for
// there to be any. It tells whether there were some. It is Run in single steps, for
// who has a clock of their own; not both at a time.
func (v *Views) Step(ctx context.Context) (did bool, err error) {
	after, running := v.resume()
	if !running {
		return false, nil
	}
	head, err := v.store.Head(ctx)
	if err != nil || head == after {
		return false, err
	}
	for batch, err := range v.store.Follow(ctx, after) {
		if err != nil {
			return false, err
		}
		return true, v.apply(ctx, decode(batch[:min(len(batch), v.o.BatchRecords)]))
	}
	return false, errors.New("the log ended")
}

func (v *Views) run(ctx context.Context) error {
	pause := firstRetry
	for {
		before := v.Position()
		err := v.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, eventstore.ErrClosed), errors.Is(err, eventstore.ErrAhead), errors.Is(err, ErrClosed):
			return fmt.Errorf("the views cannot follow the log: %w", err)
		}
		if v.Position() > before {
			pause = firstRetry
		}
		v.log.Warn("the log cannot be followed; trying again", "pause", pause, "error", err)
		if !sleep(ctx, pause) {
			return nil
		}
		pause = min(2*pause, lastRetry)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// follow applies the log from where the projections are, until it fails.
func (v *Views) follow(ctx context.Context) error {
	after, running := v.resume()
	if !running {
		<-ctx.Done()
		return ctx.Err()
	}
	ctx, cancel := context.WithCancel(ctx)
	changes := make(chan ahead, 1)
	go v.readAhead(ctx, after, changes)
	defer func() {
		cancel()
		for range changes { // until the reading has ended
		}
	}()
	for next := range changes {
		if next.err != nil {
			return next.err
		}
		if err := v.apply(ctx, next.changes); err != nil {
			return err
		}
	}
	return errors.New("the log ended")
}

// ahead is what is read and decoded while what came before it is being applied.
type ahead struct {
	changes []decoded
	err     error
}

// readAhead reads the log into out until it fails or ctx ends, and closes out.
func (v *Views) readAhead(ctx context.Context, after eventstore.Position, out chan<- ahead) {
	defer close(out)
	send := func(a ahead) bool {
		select {
		case out <- a:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for batch, err := range v.store.Follow(ctx, after) {
		if err != nil {
			send(ahead{err: err})
			return
		}
		for len(batch) > 0 {
			n := min(len(batch), v.o.BatchRecords)
			if !send(ahead{changes: decode(batch[:n])}) {
				return
			}
			batch = batch[n:]
		}
	}
}

// resume is the position after which the slowest running projection goes on.
func (v *Views) resume() (after eventstore.Position, running bool) {
	for _, p := range v.projections {
		if p.halted.Load() != nil {
			continue
		}
		if mark := p.mark.Load().position; !running || mark < after {
			after, running = mark, true
		}
	}
	return after, running
}

// decoded is a record on its way to the projections: a change, or why it is none.
type decoded struct {
	Change
	category string
	err      error
}

func decode(records []eventstore.Record) []decoded {
	out := make([]decoded, len(records))
	for i, r := range records {
		d := &out[i]
		d.Record = r
		d.category, _, _ = domain.StreamOwner(r.Stream)
		d.decode()
	}
	return out
}

func (d *decoded) decode() {
	defer func() {
		if r := recover(); r != nil {
			d.err = fmt.Errorf("panic while decoding: %v", r)
		}
	}()
	d.Event, d.Meta, d.err = eventstore.DecodeRecord(d.Record)
}

// apply commits changes in every projection that runs.
func (v *Views) apply(ctx context.Context, changes []decoded) error {
	if err := v.passGate(ctx); err != nil {
		return err
	}
	for _, p := range v.projections {
		if p.halted.Load() == nil {
			v.advance(p, changes)
		}
	}
	v.publishProgress()
	return nil
}

// passGate waits until the volume has room.
func (v *Views) passGate(ctx context.Context) error {
	err := v.o.Gate()
	if err == nil {
		return nil
	}
	v.log.Warn("the views pause", "error", err)
	for err != nil {
		if !sleep(ctx, gatePause) {
			return ctx.Err()
		}
		err = v.o.Gate()
	}
	v.log.Info("the views go on")
	return nil
}

// advance commits the changes in one projection. One that fails halts it there,
// with all before it committed.
func (v *Views) advance(p *projection, changes []decoded) {
	mark := p.mark.Load().position
	for len(changes) > 0 && changes[0].Record.Position <= mark {
		changes = changes[1:]
	}
	if len(changes) == 0 {
		return
	}
	failed, err := v.commit(p, changes)
	if err == nil {
		return
	}
	p.Discard()
	if failed > 0 {
		if _, earlier := v.commit(p, changes[:failed]); earlier != nil {
			p.Discard()
			failed, err = 0, earlier
		}
	}
	v.halt(p, changes[failed].Record, err)
}

// commit applies the changes and commits them with the checkpoint. When it fails
// nothing of them is in the database; failed is the index of the change at fault.
func (v *Views) commit(p *projection, changes []decoded) (failed int, err error) {
	batch := v.db.NewBatch()
	defer func() { err = errors.Join(err, batch.Close()) }()
	if planted.CheckpointFirst.Here() {
		_ = v.db.Set(checkpointKey(p.Name()), checkpointAt(changes[len(changes)-1].Record).encode(), pebble.NoSync)
	}
	used, failed, err := v.applyAll(p, batch, changes)
	if err != nil {
		return failed, err
	}
	last := len(changes) - 1
	mark := checkpointAt(changes[last].Record)
	p.idle += len(changes)
	if used || p.idle >= idleRecords {
		if err := v.write(p, batch, mark); err != nil {
			return 0, err
		}
		p.saved, p.idle = mark.position, 0
	}
	p.reached(mark)
	p.records.Add(uint64(len(changes)))
	return 0, nil
}

// write commits a batch that is complete but for its checkpoint.
func (v *Views) write(p *projection, batch *pebble.Batch, mark checkpoint) error {
	if err := batch.Set(checkpointKey(p.Name()), mark.encode(), nil); err != nil {
		return err
	}
	v.oneMoment.Lock()
	defer v.oneMoment.Unlock()
	p.Committing()
	if err := batch.Commit(pebble.NoSync); err != nil {
		return err
	}
	p.Committed()
	return nil
}

// applyAll works the changes into the batch. A panic is an error of the change
// that it happened at.
func (v *Views) applyAll(p *projection, batch *pebble.Batch, changes []decoded) (used bool, at int, err error) {
	defer func() {
		if r := recover(); r != nil {
			v.log.Error("a projection panicked", "projection", p.Name(), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	for at = range changes {
		c := &changes[at]
		takes := p.Takes(c.category)
		if c.err != nil && (takes || v.orphan(c.category)) {
			if planted.SkipUnknown.Here() {
				continue
			}
			return used, at, c.err
		}
		if !takes {
			continue
		}
		used = true
		if err := p.Apply(batch, c.Change); err != nil {
			return used, at, err
		}
	}
	if used {
		err = p.Stage(batch)
	}
	return used, at, err
}

// orphan tells whether no projection takes records of this category. Known ones
// concern no view; one that cannot be read may concern any.
func (v *Views) orphan(category string) bool {
	for _, p := range v.projections {
		if p.Takes(category) {
			return false
		}
	}
	return true
}
