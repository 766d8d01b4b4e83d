package projections_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections"
)

// Whatever happened, the views are what a fresh fold of the log says (I7), and
// every public event is there once, with the states around its record.
func TestViewsEqualTheFoldOfTheLog(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{ledger: newLedger(t)}
		v := views(w.ledger)
		defer v.stop()
		w.live(rt, rapid.IntRange(1, 60).Draw(rt, "commands"))
		v.caughtUp(w.store)

		steps, states, err := w.replay()
		if err != nil {
			rt.Fatal(err)
		}
		sameMethods(rt, v.Views, w, states)
		sameIntents(rt, v.Views, w, states)
		sameKeys(rt, v.Views, w, states)
		sameOrganizations(rt, v.Views, states)
		sameWork(rt, v.Views, states)
		sameEvents(rt, v.Views, steps)
	})
}

func sameMethods(rt *rapid.T, v *projections.Views, w *world, states map[string]domain.State) {
	for _, o := range w.methods {
		var want *domain.Method
		if c, ok := states[o.stream()].(*domain.Customer); ok {
			want = c.Methods[o.id]
		}
		row, found, err := v.Method(o.organization, o.id)
		switch {
		case err != nil || found != (want != nil):
			rt.Fatalf("method %s: %v %v", o.id, found, err)
		case found && string(row.JSON) != string(projections.RenderMethod(want)):
			rt.Fatalf("method %s:\n got %s\nwant %s", o.id, row.JSON, projections.RenderMethod(want))
		case found && (row.Version != want.Version || row.Customer != want.Customer || row.Stream != o.stream()):
			rt.Fatalf("method %s: %d %q %q", o.id, row.Version, row.Customer, row.Stream)
		}
	}
}

func sameKeys(rt *rapid.T, v *projections.Views, w *world, states map[string]domain.State) {
	for _, k := range w.keys {
		organization, _ := states[domain.OrganizationStream(k.organization)].(*domain.Organization)
		if organization == nil {
			continue
		}
		want, exists := organization.Keys[k.id]
		row, found := v.Key(k.id)
		if found != exists {
			rt.Fatalf("key %s: found %v, exists %v", k.id, found, exists)
		}
		if found && (row.Organization != k.organization || row.Mode != organization.Mode || !reflect.DeepEqual(row.Key, want)) {
			rt.Fatalf("key %s:\n got %+v\nwant %+v", k.id, row, want)
		}
	}
}

func sameEvents(rt *rapid.T, v *projections.Views, steps []step) {
	messages, err := v.Messages(0, 1<<20)
	if err != nil {
		rt.Fatal(err)
	}
	var prev eventstore.Position
	last := map[string]projections.Message{}
	for _, s := range steps {
		name := domain.PublicName(s.event)
		if name == "" {
			continue
		}
		if len(messages) == 0 {
			rt.Fatalf("no message for %s at %s", name, s.record.Position)
		}
		m := messages[0]
		messages = messages[1:]
		_, organization, customer := domain.StreamOwner(s.record.Stream)
		want := projections.Message{
			Position: s.record.Position, Prev: prev, OrgPrev: last[organization].Position, OrgSeq: last[organization].OrgSeq + 1,
			ID: s.record.ID, Organization: organization, Customer: customer, Type: name, Time: s.meta.Time,
			Traceparent: s.meta.Traceparent, SubjectID: subjectOf(s), Body: m.Body,
		}
		if !reflect.DeepEqual(m, want) {
			rt.Fatalf("message:\n got %+v\nwant %+v", m, want)
		}
		if err := checkBody(m, s); err != nil {
			rt.Fatalf("%v in %s", err, m.Body)
		}
		body, found, err := v.Event(organization, m.ID)
		if err != nil || !found || string(body) != string(m.Body) {
			rt.Fatalf("event %s: %v %v", m.EventID(), found, err)
		}
		prev, last[organization] = m.Position, m
	}
	if len(messages) > 0 {
		rt.Fatalf("a message nobody caused: %+v", messages[0])
	}
}

// checkBody compares a body with what the states before and after the record say,
// worked out from the JSON of the objects.
func checkBody(m projections.Message, s step) error {
	body, err := object(m.Body)
	if err != nil {
		return err
	}
	data := body["data"].(map[string]any)
	if id := domain.SetupIntentOf(s.event); id != "" {
		return checkIntent(data, s.intentsBefore[id], s.intentsAfter[id])
	}
	subject := domain.MethodsOf(s.event)[0]
	changed, isDefaultChange := s.event.(domain.DefaultChanged)
	if isDefaultChange && changed.To == "" {
		if data["object"] != nil || len(data["previous_attributes"].(map[string]any)) != 0 {
			return fmt.Errorf("an object where there is no default")
		}
		return nil
	}
	after, personalAfter, err := split(s.after[subject])
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(data["object"], any(after)) {
		return fmt.Errorf("object is not the state after the record, which is %v", after)
	}
	previous, personal := map[string]any{}, []string{}
	if before := s.before[subject]; before != nil {
		shown, personalBefore, err := split(before)
		if err != nil {
			return err
		}
		for name, value := range shown {
			if name != "version" && name != "updated_at" && !reflect.DeepEqual(value, after[name]) {
				previous[name] = value
			}
		}
		for name, value := range personalBefore {
			if !reflect.DeepEqual(value, personalAfter[name]) {
				personal = append(personal, name)
			}
		}
	}
	if !reflect.DeepEqual(data["previous_attributes"], any(previous)) {
		return fmt.Errorf("previous_attributes is not %v", previous)
	}
	var named []string
	if list, ok := data["changed_personal"].([]any); ok {
		for _, name := range list {
			named = append(named, name.(string))
		}
	}
	slices.Sort(named)
	slices.Sort(personal)
	if !slices.Equal(named, personal) {
		return fmt.Errorf("changed_personal is not %v", personal)
	}
	return nil
}

func subjectOf(s step) string {
	if ids := s.methods(); len(ids) > 0 {
		return string(ids[0])
	}
	return string(domain.SetupIntentOf(s.event))
}

// checkIntent is checkBody for an event about a setup intent.
func checkIntent(data map[string]any, before, after *domain.SetupIntent) error {
	want, err := shownIntent(after)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(data["object"], any(want)) {
		return fmt.Errorf("object is not the intent after the record, which is %v", want)
	}
	previous := map[string]any{}
	if before != nil {
		was, err := shownIntent(before)
		if err != nil {
			return err
		}
		for name, value := range was {
			if name != "version" && !reflect.DeepEqual(value, want[name]) {
				previous[name] = value
			}
		}
	}
	if !reflect.DeepEqual(data["previous_attributes"], any(previous)) {
		return fmt.Errorf("previous_attributes is not %v", previous)
	}
	return nil
}

func shownIntent(s *domain.SetupIntent) (map[string]any, error) {
	shown, err := object(projections.RenderSetupIntent(s, "seti_1_secret_2"))
	if err != nil {
		return nil, err
	}
	shown["client_secret"], shown["metadata"] = nil, nil
	hideAction(shown)
	return shown, nil
}

// hideAction takes out what would let a reader act for the customer.
func hideAction(shown map[string]any) {
	if action, ok := shown["next_action"].(map[string]any); ok {
		action["use_provider_sdk"] = nil
		if redirect, ok := action["redirect"].(map[string]any); ok {
			redirect["url"] = nil
		}
	}
}

// split takes a method's object apart into what events show and what is personal.
func split(m *domain.Method) (shown, personal map[string]any, err error) {
	shown, err = object(projections.RenderMethod(m))
	if err != nil {
		return nil, nil, err
	}
	personal = map[string]any{
		"billing_address": shown["billing_address"], "metadata": shown["metadata"],
		"holder": m.Personal.Holder, "email": m.Personal.Email, "label": nil,
	}
	shown["billing_address"], shown["metadata"] = nil, nil
	hideAction(shown)
	if bank, ok := shown["bank_account"].(map[string]any); ok {
		bank["holder"] = nil
	}
	if wallet, ok := shown["wallet"].(map[string]any); ok {
		wallet["email"] = nil
	}
	if label, _ := shown["label"].(string); strings.Contains(label, "@") {
		personal["label"], shown["label"] = label, nil
	}
	return shown, personal, nil
}

// Two rebuilds of one log hold the same bytes, however the log is cut into
// batches and wherever they were interrupted.
func TestARebuildHoldsTheSameBytes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{ledger: newLedger(t)}
		w.live(rt, rapid.IntRange(1, 80).Draw(rt, "commands"))
		var first string
		for i := range 3 {
			o := options("views")
			o.BatchRecords = rapid.IntRange(1, 40).Draw(rt, "batch")
			o.CachedMethods = rapid.IntRange(1, 5).Draw(rt, "cached")
			v := start(t, w.store, o)
			if i == 1 {
				v.stop()
				v = start(t, w.store, o)
			}
			v.caughtUp(w.store)
			got := dump(t, v.Views)
			v.stop()
			if i == 0 {
				first = got
			} else if got != first {
				rt.Fatalf("rebuild %d differs:\n%s", i, firstDifference(first, got))
			}
		}
	})
}

func firstDifference(a, b string) string {
	left, right := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(left), len(right)) {
		if left[i] != right[i] {
			return "- " + left[i] + "\n+ " + right[i]
		}
	}
	return fmt.Sprintf("%d lines and %d lines", len(left), len(right))
}
