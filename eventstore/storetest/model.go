package storetest

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/pmledger/pmledger/eventstore"
)

var models = []behaviour{{"AnyHistoryMatchesASimpleModel", matchesModel}}

// model is the log as two lists. It is compared with the store after each step.
type model struct {
	store   eventstore.Store
	names   []string
	streams map[string][]eventstore.NewRecord
	order   []eventstore.NewRecord
	start   eventstore.Position // the store's head when the model began
	calls   []call              // appends that happened
}

// call is an append that happened.
type call struct {
	stream  string
	version uint64
	records []eventstore.NewRecord
	at      eventstore.Position
}

func matchesModel(t *testing.T, open opener) {
	s := open(t)
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{store: s, streams: map[string][]eventstore.NewRecord{}, start: mustHead(t, s)}
		for range 3 {
			m.names = append(m.names, newStream())
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) { m.append(t, rt) },
			"repeat": func(rt *rapid.T) { m.repeat(t, rt) },
			"stream": func(rt *rapid.T) { m.stream(t, rt) },
			"follow": func(*rapid.T) { m.follow(t) },
		})
	})
}

func (m *model) append(t *testing.T, rt *rapid.T) {
	name := rapid.SampledFrom(m.names).Draw(rt, "stream")
	actual := uint64(len(m.streams[name]))
	version := actual
	if rapid.IntRange(0, 3).Draw(rt, "wrong") == 0 {
		version = rapid.Uint64Range(0, actual+2).Draw(rt, "version")
	}
	records := newRecords(rapid.IntRange(1, 4).Draw(rt, "records"))
	for i := range records {
		records[i].ID = uuid.New()
	}
	at, err := m.store.Append(within(t), name, version, records)
	if version != actual {
		var conflict *eventstore.ConflictError
		if !errors.As(err, &conflict) || conflict.Actual != actual || conflict.Expected != version {
			rt.Fatalf("append at version %d of %d: error %v", version, actual, err)
		}
		return
	}
	if err != nil {
		rt.Fatalf("append: %v", err)
	}
	m.streams[name] = append(m.streams[name], records...)
	m.order = append(m.order, records...)
	m.calls = append(m.calls, call{name, version, records, at})
}

func (m *model) repeat(t *testing.T, rt *rapid.T) {
	if len(m.calls) == 0 {
		return
	}
	c := rapid.SampledFrom(m.calls).Draw(rt, "call")
	at, err := m.store.Append(within(t), c.stream, c.version, c.records)
	if err != nil || at != c.at {
		rt.Fatalf("repeat of an append at %s: %s, error %v", c.at, at, err)
	}
}

func (m *model) stream(t *testing.T, rt *rapid.T) {
	name := rapid.SampledFrom(m.names).Draw(rt, "stream")
	want := m.streams[name]
	from := rapid.Uint64Range(1, uint64(len(want))+1).Draw(rt, "from")
	checkRecords(t, name, from, mustStream(t, m.store, name, from), want[from-1:])
}

func (m *model) follow(t *testing.T) {
	if len(m.order) == 0 {
		return
	}
	all := mustFollow(t, m.store, m.start, mustHead(t, m.store))
	if len(all) != len(m.order) {
		t.Fatalf("the log has %d records, want %d", len(all), len(m.order))
	}
	for i := range all {
		if all[i].ID != m.order[i].ID {
			t.Fatalf("record %d of the log is %s, want %s", i, all[i].ID, m.order[i].ID)
		}
	}
}
