package publisher

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pmledger/pmledger/projections"
)

// blocks lists the stream's block files, oldest first.
func blocks(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", StreamName, "msgs", "*.blk"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no block files: %v", err)
	}
	number := func(path string) (n int) {
		_, _ = fmt.Sscanf(filepath.Base(path), "%d.blk", &n)
		return n
	}
	slices.SortFunc(found, func(a, b string) int { return number(a) - number(b) })
	return found
}

func cutEnd(t *testing.T, path string, bytes int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-bytes); err != nil {
		t.Fatal(err)
	}
}

// filled makes a stream of at least two block files and shuts its server down.
func filled(t *testing.T, log *outbox) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s := startServer(t, ServerOptions{Dir: dir})
	p, stop := run(t, Options{Server: s, Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	stop()
	s.Close()
	if n := len(blocks(t, dir)); n < 2 {
		t.Fatalf("only %d block files", n)
	}
	return dir
}

// copied is a folder with what is in another.
func copied(t *testing.T, dir string) string {
	t.Helper()
	into := t.TempDir()
	if err := os.CopyFS(into, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return into
}

// What a power loss can do to the files of the stream, simulated by cutting them.
func TestTornFilesCostNoEvents(t *testing.T) {
	t.Parallel()
	log := newOutbox(6700)
	whole := filled(t, log)
	index := func(dir string) string { return filepath.Join(filepath.Dir(blocks(t, dir)[0]), "index.db") }
	cases := map[string]struct {
		tear     func(dir string)
		rebuilds int
	}{
		"last block cut, index gone": {func(dir string) {
			cutEnd(t, blocks(t, dir)[len(blocks(t, dir))-1], 20_000)
			_ = os.Remove(index(dir))
		}, 0},
		"last block cut, index ahead": {func(dir string) { cutEnd(t, blocks(t, dir)[len(blocks(t, dir))-1], 20_000) }, 0},
		"older block cut":             {func(dir string) { cutEnd(t, blocks(t, dir)[0], 20_000) }, 1},
		"older block gone":            {func(dir string) { _ = os.Remove(blocks(t, dir)[0]); _ = os.Remove(index(dir)) }, 1},
		"every block gone":            {func(dir string) { _ = os.RemoveAll(filepath.Dir(blocks(t, dir)[0])) }, 0},
		"settings file unreadable": {func(dir string) {
			_ = os.WriteFile(filepath.Join(filepath.Dir(blocks(t, dir)[0]), "..", "meta.inf"), []byte("x"), 0o600)
		}, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := copied(t, whole)
			c.tear(dir)
			for start := range 2 { // the second one must find nothing left to mend
				s := startServer(t, ServerOptions{Dir: dir})
				p, stop := run(t, Options{Server: s, Source: log.source()})
				eventually(t, "published", caughtUp(p, log))
				_, js := writer(t, s)
				same(t, contents(t, js), log.all(), false)
				if n := p.Status().Rebuilds; n != c.rebuilds && start == 0 || n != 0 && start == 1 {
					t.Errorf("start %d: %d rebuilds", start, n)
				}
				stop()
				s.Close()
			}
		})
	}
}

// Where the headers of a message end is outside of the server's checksum. A wrong
// checksum it passes over without a word.
func TestADamagedMessageIsFoundByTheWalk(t *testing.T) {
	t.Parallel()
	log := newOutbox(6700)
	undamaged := filled(t, log)
	cases := map[string]struct {
		message int // counted from 0
		damage  func(record []byte)
	}{
		"its headers end too late":           {3000, func(r []byte) { r[headersLength(r)] += 40 }},
		"its headers end too early":          {3000, func(r []byte) { r[headersLength(r)] -= 40 }},
		"its headers end a line too early":   {3000, func(r []byte) { r[headersLength(r)] -= 2 }},
		"its body":                           {3000, func(r []byte) { r[len(r)/2] ^= 1 }},
		"its body, the first one of a fetch": {2 * walkStep, func(r []byte) { r[len(r)/2] ^= 1 }},
		"its sequence":                       {3000, func(r []byte) { r[4] ^= 1 }},
		"its sequence, by 2^38":              {3000, func(r []byte) { r[4+4] ^= 0x40 }},
		"the first sequence, by 2^38":        {0, func(r []byte) { r[4+4] ^= 0x40 }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := copied(t, undamaged)
			file := blocks(t, dir)[0]
			block, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c.damage(record(block, c.message))
			if err := os.WriteFile(file, block, 0o600); err != nil {
				t.Fatal(err)
			}
			s := startServer(t, ServerOptions{Dir: dir})
			p, _ := run(t, Options{Server: s, Source: log.source()})
			eventually(t, "walked and mended", func() bool { return p.Status().Walked && caughtUp(p, log)() })
			_, js := writer(t, s)
			same(t, contents(t, js), log.all(), true)
			if n := p.Status().Rebuilds; n != 1 {
				t.Errorf("%d rebuilds", n)
			}
		})
	}
}

// record is the n-th one of a block, counted from 0.
func record(block []byte, n int) []byte {
	for range n {
		block = block[recordSize(block):]
	}
	return block[:recordSize(block)]
}

func recordSize(b []byte) uint32 { return binary.LittleEndian.Uint32(b) &^ headersFlag }

// headersLength is where a record says how long its headers are.
func headersLength(record []byte) int {
	return recordHead + int(binary.LittleEndian.Uint16(record[20:]))
}

// A block that is damaged where no server would survive it is cut there and nowhere else;
// a good one is not touched.
func TestABlockIsCutBeforeASequenceThatCannotBe(t *testing.T) {
	t.Parallel()
	undamaged := filled(t, newOutbox(6700))
	first, err := os.ReadFile(blocks(t, undamaged)[0])
	if err != nil {
		t.Fatal(err)
	}
	second := blocks(t, undamaged)[1]
	inSecond, err := os.ReadFile(second)
	if err != nil {
		t.Fatal(err)
	}
	place := func(block []byte, n int) int64 { return int64(cap(block) - cap(record(block, n))) }
	for name, c := range map[string]struct {
		block, message int
		bit            int // of the sequence
		left           int64
	}{
		"one too many":               {0, 100, 4, place(first, 101)},
		"by 2^19":                    {0, 100, 19, place(first, 101)},
		"one too few":                {0, 100, 0, place(first, 100)},
		"by 2^28":                    {0, 100, 28, place(first, 100)},
		"by 2^60":                    {0, 100, 60, place(first, 100)},
		"the first of all":           {0, 0, 40, 0},
		"the first of another block": {1, 0, 40, 0},
	} {
		dir := copied(t, undamaged)
		paths := blocks(t, dir)
		block := slices.Clone([][]byte{first, inSecond}[c.block])
		record(block, c.message)[4+c.bit/8] ^= 1 << (c.bit % 8)
		if err := os.WriteFile(paths[c.block], block, 0o600); err != nil {
			t.Fatal(err)
		}
		s := &Server{options: ServerOptions{Dir: dir, Logger: quiet(t)}}
		if err := s.cutBlocks(); err != nil {
			t.Fatal(err)
		}
		for i, want := range []int64{int64(len(first)), int64(len(inSecond))} {
			if i == c.block {
				want = min(want, c.left)
			}
			if info, err := os.Stat(paths[i]); err != nil || info.Size() != want {
				t.Errorf("%s: block %d has %d bytes, want %d, %v", name, i, info.Size(), want, err)
			}
		}
	}
}

func TestDurableConsumersKeepTheirPlaceInARebuiltStream(t *testing.T) {
	t.Parallel()
	log := newOutbox(6700)
	dir := t.TempDir()
	s := startServer(t, ServerOptions{Dir: dir})
	p, stop := run(t, Options{Server: s, Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	_, js := writer(t, s)
	read := func(js jetstream.JetStream, n int) (first, last string) {
		c, err := js.CreateOrUpdateConsumer(context.Background(), StreamName, jetstream.ConsumerConfig{Durable: "audit", AckPolicy: jetstream.AckAllPolicy, MaxAckPending: -1})
		if err != nil {
			t.Fatal(err)
		}
		batch, err := c.Fetch(n)
		if err != nil {
			t.Fatal(err)
		}
		var m jetstream.Msg
		for m = range batch.Messages() {
			if last = m.Headers().Get("ce-id"); first == "" {
				first = last
			}
		}
		if err := m.DoubleAck(context.Background()); err != nil {
			t.Fatal(err)
		}
		return first, last
	}
	if _, last := read(js, 6500); last != log.all()[6499].EventID() {
		t.Fatalf("the consumer is at %s", last)
	}
	stop()
	s.Close()
	cutEnd(t, blocks(t, dir)[0], 20_000)
	s = startServer(t, ServerOptions{Dir: dir})
	p, _ = run(t, Options{Server: s, Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	if p.Status().Rebuilds != 1 {
		t.Fatalf("status %+v", p.Status())
	}
	_, js = writer(t, s)
	first, _ := read(js, 10)
	at := slices.IndexFunc(log.all(), func(m projections.Message) bool { return m.EventID() == first })
	if at > 6500 || at < 6450 {
		t.Errorf("after 6500 messages and a rebuild the consumer goes on with the %d-th", at+1)
	}
	complete(t, js, log.all())
}

func TestHoleInAnExternalStreamHaltsThePublisher(t *testing.T) {
	t.Parallel()
	log, b := newOutbox(100), startBus(t)
	js := b.js()
	loose := require(jetstream.StreamConfig{Replicas: 1}, false)
	loose.DenyDelete = false
	stream, err := js.CreateStream(context.Background(), loose)
	if err != nil {
		t.Fatal(err)
	}
	p, stop := run(t, Options{URL: b.url(), Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	stop()
	if err := stream.DeleteMsg(context.Background(), 50); err == nil {
		t.Fatal("the publisher left deletes allowed")
	}
	holed := newBusWithHole(t, log, 50)
	p, _ = run(t, Options{URL: holed.url(), Source: log.source()})
	halted(t, p, ErrHole)
}

// newBusWithHole has a stream with one message deleted from its middle.
func newBusWithHole(t *testing.T, log *outbox, sequence uint64) *bus {
	t.Helper()
	b := startBus(t)
	js := b.js()
	loose := require(jetstream.StreamConfig{Replicas: 1}, false)
	loose.DenyDelete = false
	stream, err := js.CreateStream(context.Background(), loose)
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(Options{URL: b.url(), Source: log.source(), Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.connect(); err != nil {
		t.Fatal(err)
	}
	defer p.nc.Close()
	if _, err := p.publish(context.Background(), end{}, log.all()); err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(context.Background(), sequence); err != nil {
		t.Fatal(err)
	}
	return b
}
