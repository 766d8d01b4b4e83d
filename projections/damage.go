package projections

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/planted"
)

const (
	damagedMark   = "DAMAGED"  // in the folder: damage was found while it was open
	damagedSuffix = ".damaged" // of the folder's name, once set aside
)

// damage is what becomes of views that turn out to be wrong: they answer with
// errors where they are, every projection halts so that nothing is built on top,
// and a mark in the folder makes the next Open start anew. Without the mark,
// blocks that Open does not read would fail for ever.
type damage struct {
	once sync.Once
	done sync.WaitGroup
	deal func(cause error)
}

// found may be called in the middle of a read or of a compaction, so it does not
// wait.
func (d *damage) found(cause error) {
	d.once.Do(func() { d.done.Go(func() { d.deal(cause) }) })
}

func (v *Views) dealWithDamage(cause error) {
	v.log.Error("the views are damaged; restart, and they are rebuilt from the log", "dir", v.o.Dir, "error", cause)
	mark, err := v.o.FS.Create(v.o.FS.PathJoin(v.o.Dir, damagedMark), "pmledger-views")
	if err == nil {
		err = errors.Join(mark.Sync(), mark.Close())
	}
	if err != nil {
		v.log.Error("the damage could not be marked; delete the folder of the views before the next start", "dir", v.o.Dir, "error", err)
	}
	for _, p := range v.projections {
		v.halt(p, eventstore.Record{Position: p.mark.Load().position}, fmt.Errorf("the views are damaged: %w", cause))
	}
	v.progress.wake()
}

// showsDamage tells an error that only damage explains: a bad checksum, or a view
// that contradicts itself.
func showsDamage(err error) bool {
	return pebble.IsCorruptionError(err) || errors.Is(err, errDamagedFile) || errors.Is(err, errShortRow) || errors.Is(err, errMissing)
}

// checked passes the error of a read on, and deals with one that shows damage.
func (v *Views) checked(err error) error {
	if planted.DamageIsNothing.Here() && showsDamage(err) {
		return nil
	}
	if !showsDamage(err) {
		return err
	}
	v.damage.found(err)
	return fmt.Errorf("the views are damaged, restart to rebuild them: %w", err)
}

// setAside moves a damaged folder away, replacing the one moved before.
func setAside(o Options, cause error) error {
	dir := strings.TrimRight(o.Dir, "/")
	aside := dir + damagedSuffix
	o.Logger.Error("the views are damaged; they are set aside and rebuilt from the log", "dir", dir, "aside", aside, "error", cause)
	if err := errors.Join(o.FS.RemoveAll(aside), o.FS.Rename(dir, aside)); err != nil {
		return fmt.Errorf("%w: delete the folder, it is rebuilt: %w", cause, err)
	}
	return nil
}
