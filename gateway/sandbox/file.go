package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pmledger/pmledger/gateway"
)

// FileName is the file in the sandbox's directory: a JSON object per line, in the
// order in which things happened.
const FileName = "sandbox.jsonl"

// file is what the sandbox remembers on disk. One process at a time may use it.
type file struct {
	f      *os.File
	size   int64 // of what is known to be whole
	broken error // after a failed write or sync: what the disk holds is not known any more
}

// Open returns a sandbox that remembers in the directory dir, which is made if it
// does not exist. key is Gateway.Key. A last line that a crash cut off is
// dropped: its call was never answered. Any other damage is an error that names
// the line. The caller closes the gateway.
func Open(dir string, key []byte) (*Gateway, error) {
	g := &Gateway{Key: key}
	if err := g.state.open(dir); err != nil {
		return nil, fmt.Errorf("sandbox gateway: %w", err)
	}
	return g, nil
}

// Close closes the file. Calls that change something fail afterwards.
func (g *Gateway) Close() error {
	g.state.mu.Lock()
	defer g.state.mu.Unlock()
	if g.state.file == nil || g.state.file.f == nil {
		return nil
	}
	f := g.state.file.f
	g.state.file.f = nil
	return f.Close()
}

func (s *state) open(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, FileName)
	body, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	lines, whole, err := s.read(body)
	if err != nil {
		return fmt.Errorf("%s: %w; restore the file, or remove it to let the sandbox forget", path, err)
	}
	if lines > 2*s.keeps() {
		if whole, err = s.rewrite(path); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	s.file = &file{f: f, size: whole}
	if err := errors.Join(f.Truncate(whole), f.Sync(), syncDir(dir)); err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

// read takes every whole line of body and tells how many there are and where the
// last one ends.
func (s *state) read(body []byte) (lines int, whole int64, err error) {
	for rest := body; len(rest) > 0; lines++ {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		var e entry
		err := json.Unmarshal(line, &e)
		if len(after) == 0 && (err != nil || !ended) {
			return lines, whole, nil
		}
		if err != nil {
			return 0, 0, fmt.Errorf("line %d is damaged: %w", lines+1, err)
		}
		s.takeRead(&e)
		whole += int64(len(line)) + 1
		rest = after
	}
	return lines, whole, nil
}

// takeRead is take for a line of the file. A line without an op is a card whose
// entry was forgotten.
func (s *state) takeRead(e *entry) {
	if e.Op != "" {
		s.take(e)
		return
	}
	if s.cards == nil {
		s.answers, s.cards, s.ended = map[string]*entry{}, map[string]*storedCard{}, map[string]*entry{}
	}
	if e.Card != nil {
		s.cards[e.Card.Token] = e.Card
	}
}

// rewrite replaces the file by one with what is still remembered: cards first,
// then the entries and their repeats.
func (s *state) rewrite(path string) (size int64, err error) {
	var body bytes.Buffer
	lines := json.NewEncoder(&body)
	for _, c := range s.cards {
		err = errors.Join(err, lines.Encode(entry{Card: c}))
	}
	for _, e := range s.entries {
		err = errors.Join(err, lines.Encode(e))
		for range e.calls - 1 {
			err = errors.Join(err, lines.Encode(entry{Effect: e.Effect, Repeat: true}))
		}
	}
	if err != nil {
		return 0, err
	}
	fresh := path + ".new"
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	_, err = f.Write(body.Bytes())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return 0, err
	}
	return int64(body.Len()), os.Rename(fresh, path)
}

// append writes e as a line. An error says whether the line may be there after a
// restart: Unavailable when it is not, UnknownOutcome when nobody knows.
func (f *file) append(e *entry, sync bool) error {
	if f.f == nil {
		return &gateway.Error{Kind: gateway.Unavailable, Message: "the sandbox is closed"}
	}
	if f.broken != nil {
		return &gateway.Error{Kind: gateway.Unavailable, Message: "the sandbox cannot write to its directory", Err: f.broken}
	}
	line, err := json.Marshal(e)
	if err != nil {
		return &gateway.Error{Kind: gateway.Unavailable, Message: "the sandbox cannot write its answer down", Err: err}
	}
	if _, err := f.f.WriteAt(append(line, '\n'), f.size); err != nil {
		if cut := f.f.Truncate(f.size); cut != nil {
			f.broken = errors.Join(err, cut)
		}
		return &gateway.Error{Kind: gateway.Unavailable, Message: "the sandbox cannot write to its directory", Err: err}
	}
	if sync {
		if err := f.f.Sync(); err != nil {
			f.broken = err
			return &gateway.Error{Kind: gateway.UnknownOutcome, Message: "the sandbox does not know whether its answer was written down", Err: err}
		}
	}
	f.size += int64(len(line)) + 1
	return nil
}

// syncDir makes the file's name in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
