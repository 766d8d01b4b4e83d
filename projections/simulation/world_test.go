package simulation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
	"github.com/pmledger/pmledger/gateway/sandbox"
)

// world is everything there is in one simulated life.
type world struct {
	rng   *rand.Rand
	now   time.Time // real time; each process has a clock of its own, see process.skew
	mood  mood
	calm  bool // nothing fails any more
	quiet int  // above 0: nothing fails at the moment

	truth    *memory.Store // the log: what was appended stays
	provider *sandbox.Gateway
	stream   *stream // JetStream
	away     bool    // nobody reaches JetStream

	processes []*process
	racing    bool
	late      []func() // what was sent and has not arrived

	open     []*request // that their clients do not know the answer of
	answered []*request // that were answered, for repeats and for I4
	keys     int        // idempotency keys given out

	audit *audit
	count tally
	err   error // the first violation
}

// mood is how hard a life is: chances, of each call or each step.
type mood struct {
	store, reads, gateway, bus float64
	misread                    float64 // of records that the views read
	crash                      float64 // at each call that changes something
	race                       float64 // that another process is faster
	lost                       float64 // that a client does not hear the answer
}

// tally is what a life consisted of.
type tally struct {
	commands, refused, repeats, records, messages int
	notDone, unanswered, later                    int // calls that failed, by what had become of them
	misread, lostTail, jumps                      int
	races, crashes, stops                         int
	days                                          int // of virtual time
}

func (t *tally) add(o tally) {
	for _, n := range []struct{ to, from *int }{
		{&t.commands, &o.commands}, {&t.refused, &o.refused}, {&t.repeats, &o.repeats}, {&t.records, &o.records},
		{&t.messages, &o.messages}, {&t.notDone, &o.notDone}, {&t.unanswered, &o.unanswered}, {&t.later, &o.later},
		{&t.misread, &o.misread}, {&t.lostTail, &o.lostTail}, {&t.jumps, &o.jumps}, {&t.races, &o.races},
		{&t.crashes, &o.crashes}, {&t.stops, &o.stops},
	} {
		*n.to += *n.from
	}
	t.days += o.days
}

var epoch = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 0)), now: epoch, truth: memory.New()}
	w.provider = &sandbox.Gateway{Key: make([]byte, 32), Now: func() time.Time { return w.now }}
	w.stream = newStream(func() time.Time { return w.now })
	w.stream.idsFirst = w.chance(0.3)
	w.audit = newAudit()
	// Each life has troubles of its own: with all of them all the time, little would
	// ever come about.
	for _, rate := range []*float64{&w.mood.store, &w.mood.reads, &w.mood.misread, &w.mood.gateway, &w.mood.bus, &w.mood.crash, &w.mood.race, &w.mood.lost} {
		if w.chance(0.75) {
			*rate = w.rng.Float64() * 0.2
		}
	}
	w.mood.reads *= 0.2
	w.mood.misread *= 0.6
	w.mood.crash *= 0.2
	for i := range 1 + w.rng.IntN(2) {
		w.processes = append(w.processes, newProcess(w, i))
	}
	return w
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

func (w *world) id() (id uuid.UUID) {
	for i := range id {
		id[i] = byte(w.rng.Uint32())
	}
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}

func one[T any](w *world, of ...T) T { return of[w.rng.IntN(len(of))] }

// outcome is what becomes of a call to something outside.
type outcome int

const (
	works      outcome = iota
	notDone            // it fails, and nothing has happened
	unanswered         // it happens, and nobody is told
	later              // nobody is told, and it happens later
)

func (w *world) outcome(rate float64) outcome {
	if !w.fails(rate) {
		return works
	}
	o := notDone + outcome(w.rng.IntN(3))
	*[...]*int{notDone: &w.count.notDone, unanswered: &w.count.unanswered, later: &w.count.later}[o]++
	return o
}

func (w *world) fails(rate float64) bool { return !w.calm && w.quiet == 0 && w.chance(rate) }

// live takes steps, each with all checks that can be made after it.
func (w *world) live(steps int) error {
	for range steps {
		w.pass()
		w.step()
		if w.check(); w.err != nil {
			break
		}
	}
	if w.err == nil {
		w.settle()
	}
	w.count.days = int(w.now.Sub(epoch).Hours() / 24)
	for _, p := range w.processes {
		p.stop()
	}
	return w.err
}

// pass lets time go on: mostly a moment, at times weeks.
func (w *world) pass() {
	switch n := w.rng.IntN(100); {
	case n < 60:
		w.now = w.now.Add(time.Duration(w.rng.IntN(2000)) * time.Millisecond)
	case n < 80:
		w.now = w.now.Add(time.Duration(w.rng.IntN(600)) * time.Second)
	case n < 95:
		w.now = w.now.Add(time.Duration(w.rng.IntN(72)) * time.Hour)
	default:
		w.now = w.now.AddDate(0, 0, w.rng.IntN(90))
	}
}

// step is one thing that happens. What goes on by itself happens more often.
func (w *world) step() {
	p := w.processes[w.rng.IntN(len(w.processes))]
	if !p.up {
		if w.chance(0.5) {
			p.start()
		}
		return
	}
	if p.halted() && w.chance(0.1) { // somebody looks after it
		p.stop()
		w.count.stops++
		return
	}
	switch n := w.rng.IntN(100); {
	case n < 25:
		w.serve(p, w.ask())
	case n < 32:
		w.repeat(p)
	case n < 52:
		p.project()
	case n < 64:
		p.publish()
	case n < 76:
		p.work()
	case n < 86:
		p.tick()
	case n < 92:
		w.arrive()
	default:
		w.mishap(p)
	}
	w.bury()
}

// mishap is trouble that is nobody's call.
func (w *world) mishap(p *process) {
	switch w.rng.IntN(5) {
	case 0:
		p.skew = one(w, 0, 0, time.Duration(w.rng.IntN(1800))*time.Second, -time.Duration(w.rng.IntN(400*24))*time.Hour)
		w.count.jumps++
	case 1:
		w.away = !w.away
	case 2:
		w.stream.restart(w.rng.IntN(6), w.chance(0.5))
		w.count.lostTail++
		for _, p := range w.processes {
			p.link.cut()
		}
	case 3:
		if w.chance(w.mood.crash * 5) {
			p.dead = true
		}
	default:
		p.stop()
		w.count.stops++
	}
}

// bury takes away the processes that have died.
func (w *world) bury() {
	for _, p := range w.processes {
		if p.dead {
			p.crash()
			w.count.crashes++
		}
	}
}

// arrive lets something come that was on its way, in any order.
func (w *world) arrive() {
	if len(w.late) == 0 {
		return
	}
	i := w.rng.IntN(len(w.late))
	arrives := w.late[i]
	w.late = append(w.late[:i], w.late[i+1:]...)
	arrives()
}

// race lets another process be faster than p, which is about to append.
func (w *world) race(p *process) {
	if w.racing || len(w.processes) < 2 || !w.fails(w.mood.race) {
		return
	}
	other := w.processes[1-p.number]
	if !other.up || other.dead {
		return
	}
	w.racing = true
	defer func() { w.racing = false }()
	w.count.races++
	switch {
	case p.serves != nil && p.serves.key != "" && w.chance(0.5):
		w.serve(other, p.serves)
	case p.serves != nil:
		w.serve(other, w.askAbout(p.serves.organization, p.serves.customer))
	case w.chance(0.5):
		other.project()
		other.work()
	default:
		other.project()
		other.tick()
	}
}

// outrun lets another publisher be faster than p's, which is about to send.
func (w *world) outrun(p *process) {
	if w.racing || len(w.processes) < 2 || !w.fails(w.mood.race) {
		return
	}
	w.racing = true
	defer func() { w.racing = false }()
	w.count.races++
	other := w.processes[1-p.number]
	other.project()
	for range 1 + w.rng.IntN(4) {
		other.publish()
	}
}

func (w *world) violated(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

// fingerprint is the hash of the log and of the stream.
func (w *world) fingerprint() string {
	sum := sha256.New()
	for _, r := range w.records(0) {
		fmt.Fprintln(sum, r.Position, r.ID, r.Stream, r.Version, r.Type, string(r.Data), string(r.Metadata))
	}
	for _, k := range w.stream.messages {
		fmt.Fprintln(sum, k.sequence, k.subject, k.data, k.header.Get("ce-id"), k.header.Get("ce-pmposition"))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// records are those of the log after a position.
func (w *world) records(after eventstore.Position) []eventstore.Record {
	var all []eventstore.Record
	head, err := w.truth.Head(context.Background())
	for err == nil && after < head {
		for batch, failed := range w.truth.Follow(context.Background(), after) {
			all, err = append(all, batch...), failed
			break
		}
		if err == nil {
			after = all[len(all)-1].Position
		}
	}
	if err != nil {
		w.violated("the log: %w", err)
	}
	return all
}
