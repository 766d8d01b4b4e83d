package eventstore_test

import (
	"bytes"
	"testing"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
)

// someLines are those of a small export, without their line feeds.
func someLines(f *testing.F) (lines [][]byte) {
	f.Helper()
	store := memory.New()
	if _, err := eventstore.Identify(f.Context(), store, fingerprint, uuid.UUID{1}, start); err != nil {
		f.Fatal(err)
	}
	ledger, _ := newLedger(store)
	if _, err := ledger.Execute(f.Context(), request("key", attach(1))); err != nil {
		f.Fatal(err)
	}
	last := eventstore.NoPrev
	for batch, err := range store.Follow(f.Context(), 0) {
		if err != nil {
			f.Fatal(err)
		}
		for _, r := range batch {
			line, err := eventstore.Exported{Record: r, Follows: last}.Append(nil)
			if err != nil {
				f.Fatal(err)
			}
			lines, last = append(lines, bytes.TrimSuffix(line, []byte("\n"))), r.LeafHash()
		}
		if len(lines) > 2 {
			break
		}
	}
	return lines
}

// A line of an export that is taken is the one that its record makes, so no byte of
// it goes by unnoticed.
func FuzzParseExported(f *testing.F) {
	for _, line := range someLines(f) {
		f.Add(line)
	}
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := eventstore.ParseExported(line)
		if err != nil {
			return
		}
		again, err := e.Append(nil)
		if err != nil || !bytes.Equal(again, append(bytes.Clone(line), '\n')) {
			t.Fatalf("%q is taken for %q (%v)", line, again, err)
		}
	})
}

// Metadata that is read says the same when it is written and read again.
func FuzzMetadata(f *testing.F) {
	for _, line := range someLines(f) {
		e, err := eventstore.ParseExported(line)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(e.Metadata))
	}
	f.Add([]byte(`{"time":"2026-01-01T00:00:00.000Z","schema":"1","prev":"","command_id":"\u00e4","reason":"<&>\u2028"}`))
	f.Add([]byte(` {"time":"2026-01-01T00:00:00.000Z","schema":"-1","more":{}} `))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := eventstore.DecodeMetadata(data)
		if err != nil {
			return
		}
		text := m.Encode()
		if again, err := eventstore.DecodeMetadata(text); err != nil || again != m {
			t.Fatalf("%q is read as %+v, written as %q, and read as %+v (%v)", data, m, text, again, err)
		}
	})
}
