package projections_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/torture"
	"github.com/pmledger/pmledger/projections"
)

// damages are what becomes of a byte.
var damages = []func(b byte, random *rand.Rand) byte{
	func(b byte, random *rand.Rand) byte { return b ^ 1<<random.IntN(8) },
	func(b byte, _ *rand.Rand) byte { return ^b },
	func(b byte, random *rand.Rand) byte { return b + byte(1+random.IntN(255)) },
}

// TestAFlippedByteIsNeverAWrongAnswer damages one byte somewhere in the files of the
// views. Whoever reads then gets what is right, or an error; and the next start heals
// it.
func TestAFlippedByteIsNeverAWrongAnswer(t *testing.T) {
	flips := torture.Size(150, 2_000, 20_000)
	if testing.Short() {
		flips = 40
	}
	seed := torture.Seed(t)
	s := newSpecimen(t)
	torture.Repeat(t, flips, seed, s.flip)
	if s.noticed.Load() == 0 {
		t.Error("no flip was met: the test shows nothing")
	}
	torture.Add(t, torture.Report{
		Campaign: "flipped bytes of the views", Seed: seed,
		Counts: []torture.Figure{
			torture.Count(flips, "flips"), torture.Count(s.bytes, "bytes"), torture.Count(s.noticed.Load(), "noticed while reading"),
			torture.Count(s.refused.Load(), "refused at the start"), torture.Count(s.harmless.Load(), "without any effect"),
		},
		Violations: []torture.Figure{torture.Count(s.wrong.Load(), "undetected"), torture.Count(s.stays.Load(), "not healed by the next start")},
	})
}

// specimen is a folder of views, and what they answer.
type specimen struct {
	t      *testing.T
	ledger *ledger
	fs     *vfs.MemFS
	files  []string
	bytes  int64
	ids    []domain.MethodID
	head   eventstore.Position
	right  answers

	noticed, refused, harmless, wrong, stays atomic.Int64
}

// answers are what views say, each in a way of its own.
type answers struct{ rows, methods, messages string }

// newSpecimen makes views of several tables, all small: the engine looks at every
// bit of a block with a wrong checksum whether it was that one.
func newSpecimen(t *testing.T) *specimen {
	s := &specimen{t: t, ledger: newLedger(t), fs: vfs.NewMem()}
	for part := range 7 {
		v := start(t, s.ledger.store, s.options(s.fs))
		s.ids = append(s.ids, s.ledger.attach("acme", fmt.Sprint("cus_", part)))
		s.ledger.execute("organization-acme", key(fmt.Sprint("k", part)))
		v.caughtUp(s.ledger.store)
		s.head = v.Position()
		var err error
		if s.right, err = s.read(v.Views); err != nil {
			t.Fatal(err)
		}
		v.stop()
	}
	names, err := s.fs.List("views")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := s.fs.PathJoin("views", name)
		if info, err := s.fs.Stat(path); err == nil && info.Size() > 0 {
			s.files = append(s.files, path)
			s.bytes += info.Size()
		}
	}
	return s
}

func (s *specimen) options(fs vfs.FS) projections.Options {
	o := options("views")
	o.FS, o.CachedMethods, o.MemTableBytes = fs, 1, 256<<10
	return o
}

// flip damages a byte of a copy and looks what comes of it.
func (s *specimen) flip(random *rand.Rand) {
	copied := vfs.NewMem()
	if ok, err := vfs.Clone(s.fs, copied, "views", "views"); !ok || err != nil {
		s.t.Errorf("copy: %v %v", ok, err)
		return
	}
	where := s.damage(copied, random)
	got, err := s.look(copied)
	switch {
	case errors.As(err, new(*startError)):
		s.refused.Add(1)
		return
	case err != nil:
		s.noticed.Add(1)
	case got != s.right:
		s.wrong.Add(1)
		s.t.Errorf("%s: a wrong answer:\n%s", where, s.difference(got))
		return
	default:
		s.harmless.Add(1)
		return
	}
	// The first start after it may meet what nobody met before.
	for range 2 {
		if got, err = s.look(copied); err == nil {
			break
		}
	}
	if err != nil || got != s.right {
		s.stays.Add(1)
		s.t.Errorf("%s: after healing: %v\n%s", where, err, s.difference(got))
	}
}

// damage changes one byte: of any file, so that small ones are not forgotten, or of
// any byte, so that the large ones are met everywhere.
func (s *specimen) damage(fs *vfs.MemFS, random *rand.Rand) (where string) {
	path, at := s.files[random.IntN(len(s.files))], int64(-1)
	if random.IntN(2) == 0 {
		at = random.Int64N(s.bytes)
		for _, path = range s.files {
			if size := s.size(path); at >= size {
				at -= size
			} else {
				break
			}
		}
	}
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		s.t.Error(err)
		return path
	}
	if at < 0 {
		at = random.Int64N(s.size(path))
	}
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	was := b[0]
	b[0] = damages[random.IntN(len(damages))](b[0], random)
	if err == nil {
		_, err = f.WriteAt(b, at)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		s.t.Error(err)
	}
	return fmt.Sprintf("%s, byte %d from %02x to %02x", path, at, was, b[0])
}

func (s *specimen) size(path string) int64 {
	info, err := s.fs.Stat(path)
	if err != nil {
		s.t.Error(err)
		return 0
	}
	return info.Size()
}

// startError is why views could not be opened.
type startError struct{ error }

// look opens the views, lets them catch up and reads them. An error is one that
// whoever asks gets.
func (s *specimen) look(fs vfs.FS) (got answers, err error) {
	v, err := projections.Open(context.Background(), s.ledger.store, s.options(fs))
	if err != nil {
		return got, &startError{err}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	ended := make(chan error, 1)
	go func() { ended <- v.Run(ctx) }()
	err = v.Wait(ctx, s.head)
	if errors.Is(err, context.DeadlineExceeded) {
		s.t.Errorf("the views neither get on nor say why")
	}
	if err == nil {
		got, err = s.read(v)
	}
	cancel()
	<-ended // an error is one of the views, which reading has met
	if closeErr := v.Close(); err == nil {
		err = closeErr
	}
	return got, err
}

// read asks for everything: row by row, method by method, message by message.
func (s *specimen) read(v *projections.Views) (got answers, err error) {
	var rows, methods, messages strings.Builder
	for _, id := range s.ids {
		row, found, err := v.Method("acme", id)
		if err != nil {
			return got, err
		}
		fmt.Fprintf(&methods, "%v %s\n", found, row.JSON)
	}
	all, err := v.Messages(0, 1000)
	if err != nil {
		return got, err
	}
	for _, m := range all {
		one, found, err := v.Event("acme", m.ID)
		if err != nil {
			return got, err
		}
		fmt.Fprintf(&messages, "%v %s %v\n", m.Headers(), m.Body, found && string(one) == string(m.Body))
	}
	err = v.Dump(&rows)
	return answers{rows.String(), methods.String(), messages.String()}, err
}

func (s *specimen) difference(got answers) string {
	return firstDifference(s.right.rows+s.right.methods+s.right.messages, got.rows+got.methods+got.messages)
}
