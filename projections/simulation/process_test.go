package simulation

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/projections"
	"github.com/pmledger/pmledger/projections/publisher"
)

// maxMethods is small, so that the limit is met.
const maxMethods = 8

// errDead is what everything answers to a process that has died: what it would
// still do has no effect.
var errDead = errors.New("the process has died")

// process is one server: its files, and what it has in memory while it is up.
type process struct {
	*world
	number int
	files  *vfs.MemFS
	skew   time.Duration // of its clock
	up     bool
	dead   bool
	serves *request         // at the moment
	sees   *domain.Customer // whom it is about, as it was just before

	misread bool // a record, since its files are there

	ledger    *eventstore.Ledger
	policy    projections.PolicyFunc
	views     *projections.Views
	worker    *projections.Worker
	clock     *projections.ExpiryClock
	publisher *publisher.Publisher
	link      *link
}

func newProcess(w *world, number int) *process {
	return &process{world: w, number: number, files: vfs.NewCrashableMem(), link: &link{}}
}

func (p *process) time() time.Time { return p.now.Add(p.skew) }

// start brings the process up, unless it finds trouble.
func (p *process) start() {
	head, err := p.truth.Head(context.Background())
	if err != nil {
		p.violated("the log: %w", err)
	}
	quiet := slog.New(slog.DiscardHandler)
	views, err := projections.Open(context.Background(), &edge{process: p, views: true}, projections.Options{
		Dir: "views", FS: p.files, Logger: quiet, CacheBytes: 1 << 20, MemTableBytes: 4 << 20, CachedMethods: 8,
		BatchRecords: 1 + p.rng.IntN(16),
	})
	if foreign := (*projections.AheadError)(nil); errors.As(err, &foreign) && p.misread {
		// The checkpoint names a record as it was misread. The operator is told to
		// delete the folder, and does.
		p.files, p.misread = vfs.NewCrashableMem(), false
		return
	}
	if err != nil {
		if !errors.Is(err, eventstore.ErrUnavailable) {
			p.violated("the views do not open: %w", err)
		}
		return
	}
	p.views, p.up, p.dead = views, true, false
	p.ledger = eventstore.NewLedger(&edge{process: p}, eventstore.LedgerOptions{
		Now: p.time, NewID: p.id, Shared: true, Written: head, CachedRecords: 1 + p.rng.IntN(200),
	})
	p.policy = projections.LedgerPolicy(p.ledger, p.time, maxMethods)
	p.worker = projections.NewWorker(projections.WorkerOptions{
		Views: views, Ledger: p.ledger, Gateways: map[string]gateway.Gateway{"sandbox": door{p}}, Policy: p.policy,
		ReturnURL: func(s *domain.SetupIntent) string { return "https://return.example/" + string(s.ID) },
		Logger:    quiet, Now: p.time, Random: p.rng.Float64, Attempts: one(p.world, 3, 300),
	})
	p.clock = projections.NewExpiryClock(projections.ClockOptions{
		Views: views, Ledger: p.ledger, Policy: p.policy, Logger: quiet, Now: p.time, Concurrency: 1,
	})
	p.link = &link{process: p}
	p.publisher, err = publisher.New(publisher.Options{Source: p.source(), Bus: p.link.bus(), Now: p.time, Logger: quiet})
	if err != nil {
		p.violated("the publisher: %w", err)
	}
}

// stop is an orderly end: the views are written to disk.
func (p *process) stop() {
	if !p.up {
		return
	}
	p.up = false
	if err := p.views.Close(); err != nil {
		p.violated("the views do not close: %w", err)
	}
}

// crash is the other one: of the files what was synced stays, and some of the rest.
func (p *process) crash() {
	kept := p.files.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: one(p.world, 0, 50, 100), RNG: rand.New(rand.NewPCG(p.rng.Uint64(), 0))})
	p.stop()
	p.files, p.dead = kept, false
}

// halted tells whether somebody has to look after the process.
func (p *process) halted() bool {
	for _, s := range p.views.Status() {
		if s.Halted != nil {
			return true
		}
	}
	return p.publisher.Status().Halted != nil
}

// project lets the views take in some of the log.
func (p *process) project() (did bool) {
	if p.up && !p.dead {
		var err error
		did, err = p.views.Step(context.Background())
		p.expected("the views", err)
	}
	return did
}

// catchUp lets the views take in all of the log, and nothing fails meanwhile. The
// caller is about to wait for it, which in this world nothing else would end.
func (p *process) catchUp() {
	p.quiet++
	for p.project() {
	}
	p.quiet--
}

func (p *process) publish() (more bool) {
	if p.up && !p.dead {
		var err error
		more, err = p.publisher.Step(context.Background())
		if halted := p.publisher.Status().Halted; halted != nil {
			p.violated("the publisher has halted: %w", err)
		}
	}
	return more
}

func (p *process) work() (did bool) {
	if p.up && !p.dead {
		var err error
		did, _, err = p.worker.Step(context.Background(), p.time())
		p.expected("the worker", err)
	}
	return did
}

func (p *process) tick() (did bool) {
	if p.up && !p.dead {
		var err error
		did, _, err = p.clock.Step(context.Background(), p.time())
		p.expected("the clock", err)
	}
	return did
}

// expected takes an error that is no answer of the ledger's: one that was injected,
// or a violation.
func (p *process) expected(who string, err error) {
	var halted *projections.HaltedError
	var refused *gateway.Error
	switch {
	case err == nil, errors.Is(err, errDead), errors.Is(err, eventstore.ErrUnavailable), errors.Is(err, errCut):
	case errors.As(err, &halted), errors.As(err, &refused):
	case transient(err):
	default:
		p.violated("%s: %w", who, err)
	}
}

// transient tells a refusal that a repeat may change.
func transient(err error) bool {
	switch domain.CodeOf(err) {
	case domain.CodeStoreUnavailable, domain.CodeStorageFull, domain.CodeConflict, domain.CodeGatewayUnavailable:
		return true
	}
	return false
}

func (p *process) source() publisher.Source {
	return publisher.Source{
		Messages: p.views.Messages,
		Wait:     func(context.Context, eventstore.Position) error { return errors.New("steps do not wait") },
		Head:     (&edge{process: p}).Head,
		Reached: func(ctx context.Context, at eventstore.Position) error {
			p.catchUp()
			return p.views.Wait(ctx, at)
		},
		Find: p.views.Message,
	}
}
