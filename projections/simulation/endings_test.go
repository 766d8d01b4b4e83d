package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections"
)

func i6TheBusIsComplete(w *world) error {
	w.count.messages += len(w.stream.messages)
	if got, want := len(w.stream.messages), len(w.audit.public); got != want {
		return fmt.Errorf("the stream has %d messages of %d", got, want)
	}
	all, err := w.processes[0].views.Messages(0, 1<<20)
	if err != nil {
		return err
	}
	for i, k := range w.stream.messages {
		if i >= len(all) || k.data != string(all[i].Body) {
			return fmt.Errorf("message %d is not as the views render it", k.sequence)
		}
		for _, h := range all[i].Headers() {
			if k.header.Get(h.Name) != h.Value {
				return fmt.Errorf("message %d has the header %s: %q, not %q", k.sequence, h.Name, k.header.Get(h.Name), h.Value)
			}
		}
	}
	return nil
}

func i4AnswersAreInTheLog(w *world) error {
	for _, r := range w.answered {
		if r.key == "" {
			continue
		}
		s, there := w.audit.commands[commandName{r.stream, r.key}]
		if !there || s.last != r.answer.version || s.position != r.answer.position {
			return fmt.Errorf("key %q was answered at version %d, and the log has it at %+v", r.key, r.answer.version, s)
		}
	}
	for _, r := range w.open {
		if _, there := w.audit.commands[commandName{r.stream, r.key}]; there && r.refusal != nil && !r.doubted {
			return fmt.Errorf("key %q was refused, and the log has it", r.key)
		}
	}
	return nil
}

func i8ThePastIsAPrefix(w *world) error {
	ledger := w.processes[0].ledger
	for _, stream := range slices.Sorted(maps.Keys(w.audit.streams)) {
		indexes := w.audit.streams[stream]
		at := w.audit.records[indexes[w.rng.IntN(len(indexes))]].meta.Time
		want := domain.NewState(stream)
		for _, i := range indexes {
			if r := w.audit.records[i]; !r.meta.Time.After(at) {
				want = r.after
			}
		}
		got, err := ledger.StateAt(context.Background(), stream, at)
		if err != nil {
			return err
		}
		if !sameState(got, want) {
			return fmt.Errorf("%s at %v is not what its records up to then lead to", stream, at)
		}
		now, _, err := ledger.State(context.Background(), stream)
		if err != nil || !sameState(now, w.audit.states[stream]) {
			return fmt.Errorf("%s now is not what its records lead to: %v", stream, err)
		}
	}
	return nil
}

func sameState(a, b domain.State) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

func i10HistoryVerifies(w *world) error {
	v, err := eventstore.Verify(context.Background(), w.truth, nil)
	if err == nil && int(v.Records) != len(w.audit.records) {
		err = fmt.Errorf("%d records verified of %d", v.Records, len(w.audit.records))
	}
	return err
}

func i14NoCardNumberOutside(w *world) error {
	for _, k := range w.stream.messages {
		if strings.Contains(k.data, theNumber) {
			return fmt.Errorf("message %d holds one", k.sequence)
		}
	}
	dump, err := w.processes[0].dump()
	if err == nil && strings.Contains(dump, theNumber) {
		err = fmt.Errorf("the views hold one")
	}
	return err
}

func i15OrganizationsAreApart(w *world) error {
	v := w.processes[0].views
	for stream, state := range w.audit.states {
		_, organization, _ := domain.StreamOwner(stream)
		for _, other := range theOrganizations {
			for id := range customer(state).Methods {
				if _, found, err := v.Method(other, id); err != nil || found && other != organization {
					return fmt.Errorf("%s sees %s of %s: %v", other, id, organization, err)
				}
			}
			for id := range customer(state).SetupIntents {
				if _, found, err := v.SetupIntent(other, id); err != nil || found && other != organization {
					return fmt.Errorf("%s sees %s of %s: %v", other, id, organization, err)
				}
			}
		}
	}
	return nil
}

func (p *process) dump() (string, error) {
	var b strings.Builder
	err := p.views.Dump(&b)
	return b.String(), err
}

func i17RebuiltToTheByte(w *world) error {
	fresh := newProcess(w, 0)
	fresh.files = vfs.NewCrashableMem()
	fresh.start()
	defer fresh.stop()
	fresh.catchUp()
	want, err := fresh.dump()
	if err != nil {
		return err
	}
	for _, p := range w.processes {
		got, err := p.dump()
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("process %d: %s", p.number, firstDifference(want, got))
		}
	}
	return nil
}

func firstDifference(want, got string) string {
	left, right := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(left), len(right)) {
		if left[i] != right[i] {
			return fmt.Sprintf("\nrebuilt %.300s\n    has %.300s", left[i], right[i])
		}
	}
	return fmt.Sprintf("%d lines rebuilt, %d there", len(left), len(right))
}

// i7ViewsAreTheFold compares what the views answer with a fold of the log.
func i7ViewsAreTheFold(w *world) error {
	for _, p := range w.processes {
		for stream, state := range w.audit.states {
			if err := p.shows(stream, state); err != nil {
				return fmt.Errorf("process %d, %s: %w", p.number, stream, err)
			}
		}
	}
	return nil
}

func (p *process) shows(stream string, state domain.State) error {
	if o, ok := state.(*domain.Organization); ok {
		row, found := p.views.Organization(o.ID)
		if !found || row.Mode != o.Mode || !row.Clock.Equal(o.Clock) || !reflect.DeepEqual(row.Settings, o.Settings) {
			return fmt.Errorf("the organization is shown as %+v, %v", row, found)
		}
		for id, key := range o.Keys {
			if row, found := p.views.Key(id); !found || row.Organization != o.ID || !reflect.DeepEqual(row.Key, key) {
				return fmt.Errorf("key %s is shown as %+v, %v", id, row, found)
			}
		}
	}
	for id, m := range customer(state).Methods {
		row, found, err := p.views.Method(m.Organization, id)
		if err != nil || !found || row.Version != m.Version || row.Stream != stream || string(row.JSON) != string(projections.RenderMethod(m)) {
			return fmt.Errorf("%s is shown as %s, %v %v, and is %s", id, row.JSON, found, err, projections.RenderMethod(m))
		}
	}
	for id, s := range customer(state).SetupIntents {
		row, found, err := p.views.SetupIntent(s.Organization, id)
		if err != nil || !found || !reflect.DeepEqual(row.Intent, s) {
			return fmt.Errorf("%s is shown as %+v, %v %v, and is %+v", id, row.Intent, found, err, s)
		}
	}
	return nil
}

// gatewayEffectsFollowFromTheLog: whatever was repeated, each thing that happened at
// the gateway was asked for by one record of the log, or by one command.
func gatewayEffectsFollowFromTheLog(w *world) error {
	asked := map[string]bool{}
	for _, r := range w.audit.records {
		asked[domain.EventID(r.ID)] = true
	}
	for _, e := range w.provider.Effects() {
		switch e.Op {
		case "verify", "setup", "approve", "detach":
			if !asked[e.Key] {
				return fmt.Errorf("%s of %s with the key %s", e.Op, e.Token, e.Key)
			}
		}
	}
	return nil
}
