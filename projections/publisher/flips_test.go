package publisher

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pmledger/pmledger/eventstore/torture"
	"github.com/pmledger/pmledger/projections"
)

// TestAFlippedByteOfNATSIsMendedOrTold damages one byte of the embedded server's
// files. After a start the stream is complete and right, or server or publisher says
// what is wrong.
func TestAFlippedByteOfNATSIsMendedOrTold(t *testing.T) {
	if testing.Short() {
		t.Skip("a server is started for every byte")
	}
	t.Parallel()
	flips := torture.Size(4, 20, 1_000)
	seed := torture.Seed(t)
	s := &spoiling{t: t, log: newOutbox(6700)}
	s.whole = filled(t, s.log)
	s.list()
	torture.Repeat(t, flips, seed, s.flip)
	torture.Add(t, torture.Report{
		Campaign: "flipped bytes of NATS files", Seed: seed,
		Counts: []torture.Figure{
			torture.Count(flips, "flips"), torture.Count(s.rebuilt.Load(), "rebuilt"), torture.Count(s.told.Load(), "told"), torture.Count(s.harmless.Load(), "without any effect"),
		},
		Violations: []torture.Figure{torture.Count(s.wrong.Load(), "undetected")},
	})
}

// spoiling is a folder of a server with the stream of a log, and what damage did.
type spoiling struct {
	t     *testing.T
	log   *outbox
	whole string
	files []string // by path in whole
	sizes []int64
	bytes int64

	rebuilt, told, harmless, wrong atomic.Int64
}

func (s *spoiling) list() {
	err := filepath.WalkDir(s.whole, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Size() > 0 {
			name, _ := filepath.Rel(s.whole, path)
			s.files, s.sizes, s.bytes = append(s.files, name), append(s.sizes, info.Size()), s.bytes+info.Size()
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// flip damages a byte of a copy and looks what comes of it.
func (s *spoiling) flip(random *rand.Rand) {
	dir, err := os.MkdirTemp("", "pmledger-flip-*")
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.CopyFS(dir, os.DirFS(s.whole))
	}
	var where string
	if err == nil {
		where, err = s.damage(dir, random)
	}
	if err != nil {
		s.t.Error(err)
		return
	}
	rebuilds, told, wrong := s.look(dir)
	switch {
	case wrong != nil:
		s.wrong.Add(1)
		s.t.Errorf("%s: %v", where, wrong)
	case told != nil:
		s.told.Add(1)
		s.t.Logf("%s: %v", where, told)
	case rebuilds > 0:
		s.rebuilt.Add(1)
	default:
		s.harmless.Add(1)
	}
}

// damage changes one byte: of any file, so that small ones are not forgotten, or any
// byte.
func (s *spoiling) damage(dir string, random *rand.Rand) (where string, err error) {
	n := random.IntN(len(s.files))
	at := random.Int64N(s.sizes[n])
	if random.IntN(2) == 0 {
		for n, at = 0, random.Int64N(s.bytes); at >= s.sizes[n]; n++ {
			at -= s.sizes[n]
		}
	}
	path := filepath.Join(dir, s.files[n])
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	was := text[at]
	text[at] ^= 1 << random.IntN(8)
	if random.IntN(2) == 0 {
		text[at] = was + byte(1+random.IntN(255))
	}
	return fmt.Sprintf("%s, byte %d of %d from %02x to %02x", s.files[n], at, len(text), was, text[at]), os.WriteFile(path, text, 0o600)
}

// look starts server and publisher and reads the stream. told is what is wrong by
// their own account, wrong what is wrong without a word.
func (s *spoiling) look(dir string) (rebuilds int, told, wrong error) {
	logger := slog.New(slog.DiscardHandler)
	server, err := StartServer(ServerOptions{Dir: dir, Logger: logger})
	if err != nil {
		return 0, err, nil
	}
	defer server.Close()
	p, err := New(Options{Server: server, Source: s.log.source(), Logger: logger})
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(2 * time.Millisecond) {
		st := p.Status()
		if st.Halted != nil {
			return st.Rebuilds, st.Halted, nil
		}
		if st.Walked && st.Position == s.log.last() && st.LastError == nil {
			break
		}
		if time.Now().After(deadline) && st.LastError == nil {
			return st.Rebuilds, nil, fmt.Errorf("it neither gets on nor says why: %+v", st)
		} else if time.Now().After(deadline) {
			return st.Rebuilds, st.LastError, nil
		}
	}
	err = s.compare(server)
	if st := p.Status(); err != nil && (st.Halted != nil || st.LastError != nil) {
		return st.Rebuilds, fmt.Errorf("%v %v", st.Halted, st.LastError), nil
	}
	return p.Status().Rebuilds, nil, err
}

// compare reads the stream as a consumer does, and compares it with the log.
func (s *spoiling) compare(server *Server) error {
	nc, err := nats.Connect("", append(server.publisherOptions(), nats.CustomInboxPrefix(replyPrefix))...)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	consumer, err := js.OrderedConsumer(ctx, StreamName, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	for i, want := range s.log.all() {
		m, err := messages.Next(jetstream.NextMaxWait(5 * time.Second))
		if err != nil {
			return fmt.Errorf("after %d messages: %w", i, err)
		}
		if err := differs(m, want); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	return nil
}

func differs(got jetstream.Msg, want projections.Message) error {
	if got.Subject() != want.Subject() || !bytes.Equal(got.Data(), want.Body) {
		return fmt.Errorf("it is %s %s, want %s %s", got.Subject(), got.Data(), want.Subject(), want.Body)
	}
	for _, h := range want.Headers() {
		if !slices.Equal(got.Headers()[h.Name], []string{h.Value}) {
			return fmt.Errorf("header %s is %q, want %q", h.Name, got.Headers()[h.Name], h.Value)
		}
	}
	return nil
}
