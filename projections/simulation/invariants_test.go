package simulation

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections"
)

// The invariants, by the numbers of the ledger's failure model. I16, erasure, is not
// built. Of I10, signed checkpoints are not.

// ofEachRecord must hold of each record of the log, as it is appended.
var ofEachRecord = []struct {
	name  string
	holds func(*audit, recorded) error
}{
	{"I1, one default", i1OneDefault},
	{"I2, detached is for good", i2DetachedIsTerminal},
	{"I3, versions and ids", i3VersionsAndIDs},
	{"I3, an organization's own time", i3OwnTime},
	{"I4, a command once and whole", i4CommandsOnce},
	{"I5, one request for a key", i5OneRequestForAKey},
	{"I10, each record names the one before", i10PrevIsTheHash},
	{"I11, notices once", i11NoticesOnce},
	{"I12, verified by evidence", i12VerifiedByEvidence},
	{"I13, what is in use stays", i13InUseStays},
	{"I14, no card numbers", i14NoCardNumber},
}

// atTheEnd must hold when the faults have stopped and all has come to rest.
var atTheEnd = []struct {
	name  string
	holds func(*world) error
}{
	{"I4, every answer is in the log", i4AnswersAreInTheLog},
	{"I6, the bus is complete", i6TheBusIsComplete},
	{"I7, views are the fold of the log", i7ViewsAreTheFold},
	{"I8, the past is a prefix", i8ThePastIsAPrefix},
	{"I10, the history verifies", i10HistoryVerifies},
	{"I14, no card number in views and messages", i14NoCardNumberOutside},
	{"I15, organizations do not see each other", i15OrganizationsAreApart},
	{"I17, rebuilt views hold the same bytes", i17RebuiltToTheByte},
	{"nothing at the gateway that the log has not asked for", gatewayEffectsFollowFromTheLog},
}

// I9 is checked at answers, see seen; I18 by settle.

func i1OneDefault(_ *audit, r recorded) error {
	defaults := 0
	c := customer(r.after)
	for id, m := range c.Methods {
		if m.IsDefault {
			defaults++
			if !m.Attached() || id != c.Default {
				return fmt.Errorf("%s is %s, says it is the default, and the default is %q", id, m.Status, c.Default)
			}
		}
	}
	if defaults > 1 {
		return fmt.Errorf("%d defaults", defaults)
	}
	return nil
}

func i2DetachedIsTerminal(_ *audit, r recorded) error {
	switch r.event.(type) {
	case domain.GatewayDetached, domain.GatewayDetachFailed, domain.GatewayCanceled:
		return nil
	}
	for _, id := range domain.MethodsOf(r.event) {
		m := customer(r.before).Methods[id]
		_, asDefault := r.event.(domain.DefaultChanged)
		if m != nil && !m.Attached() && !asDefault && !reflect.DeepEqual(m, customer(r.after).Methods[id]) {
			return fmt.Errorf("%s was detached at version %d", id, m.Version)
		}
	}
	return nil
}

func i3VersionsAndIDs(a *audit, r recorded) error {
	if last := uint64(len(a.streams[r.Stream])); r.Version != last+1 {
		return fmt.Errorf("version %d follows %d", r.Version, last)
	}
	if a.ids[r.ID] {
		return fmt.Errorf("the id %s is there already", r.ID)
	}
	a.ids[r.ID] = true
	if r.meta.Time.Before(a.times[r.Stream]) {
		return fmt.Errorf("its time %v lies before the last one's", r.meta.Time)
	}
	a.times[r.Stream] = r.meta.Time
	_, organization, owner := domain.StreamOwner(r.Stream)
	for _, id := range domain.MethodsOf(r.event) {
		if m := customer(r.after).Methods[id]; m != nil && (m.Organization != organization || m.Customer != owner) {
			return fmt.Errorf("%s is of %s %s", id, m.Organization, m.Customer)
		}
	}
	return nil
}

// i3OwnTime: under a test clock nothing happens later than it shows.
func i3OwnTime(a *audit, r recorded) error {
	_, organization, _ := domain.StreamOwner(r.Stream)
	o, known := a.states[domain.OrganizationStream(organization)].(*domain.Organization)
	if !known || o.Clock.IsZero() || customer(r.after).ID == "" || !r.meta.Time.After(o.Clock) {
		return nil
	}
	if indexes := a.streams[r.Stream]; len(indexes) > 0 && a.records[indexes[len(indexes)-1]].meta.Time.Equal(r.meta.Time) {
		return nil // from before the clock was set
	}
	return fmt.Errorf("its time is %v, and the test clock shows %v", r.meta.Time, o.Clock)
}

func i4CommandsOnce(a *audit, r recorded) error {
	name := commandName{r.Stream, r.meta.CommandID}
	s, again := a.commands[name]
	index := 0
	if again {
		index = int(s.last - s.first + 1)
		if s.last+1 != r.Version || s.position+1 != r.Position {
			return fmt.Errorf("command %s stands at versions %d to %d already", r.meta.CommandID, s.first, s.last)
		}
	} else {
		s.first = r.Version
	}
	if r.ID != eventstore.EventID(r.Stream, r.meta.CommandID, index) {
		return fmt.Errorf("it is not record %d of command %s", index, r.meta.CommandID)
	}
	s.last, s.position, s.mac = r.Version, r.Position, r.meta.RequestMAC
	a.commands[name] = s
	return nil
}

func i5OneRequestForAKey(_ *audit, r recorded) error {
	if mac := r.meta.RequestMAC; strings.HasPrefix(r.meta.CommandID, "key ") && mac != "mac of "+r.meta.CommandID {
		return fmt.Errorf("key %q has the request %q", r.meta.CommandID, mac)
	}
	return nil
}

func i10PrevIsTheHash(a *audit, r recorded) error {
	want, known := a.tails[r.Stream]
	if !known {
		want = eventstore.NoPrev
	}
	if r.meta.Prev != want {
		return fmt.Errorf("prev is %s, and the record before has the hash %s", r.meta.Prev, want)
	}
	a.tails[r.Stream] = r.LeafHash()
	return nil
}

func i11NoticesOnce(a *audit, r recorded) error {
	for id, m := range customer(r.after).Methods {
		if before := customer(r.before).Methods[id]; before != nil && !before.ExpiresAt.Equal(m.ExpiresAt) {
			maps.DeleteFunc(a.notices, func(n notice, _ bool) bool { return n.method == id }) // armed again
		}
	}
	var said []notice
	switch e := r.event.(type) {
	case domain.MethodExpired:
		said = []notice{{e.MethodID, e.ExpiresAt, 0}}
	case domain.MethodExpiring:
		for _, days := range e.Served {
			said = append(said, notice{e.MethodID, e.ExpiresAt, days})
		}
		if a.notices[notice{e.MethodID, e.ExpiresAt, 0}] {
			return fmt.Errorf("%s has expired already", e.MethodID)
		}
		if r.meta.Time.Before(domain.WindowStart(e.ExpiresAt, e.Window)) {
			return fmt.Errorf("%s does not expire within %d days", e.MethodID, e.Window)
		}
	}
	for _, n := range said {
		if a.notices[n] {
			return fmt.Errorf("%+v was said before", n)
		}
		a.notices[n] = true
	}
	return nil
}

func i12VerifiedByEvidence(_ *audit, r recorded) error {
	for id, m := range customer(r.after).Methods {
		v := m.Verification
		if v.AmountsFailed > domain.AmountAttempts || v.DescriptorFailed > domain.DescriptorAttempts {
			return fmt.Errorf("%s has failed %d and %d attempts", id, v.AmountsFailed, v.DescriptorFailed)
		}
		before := customer(r.before).Methods[id]
		if v.Status != domain.Verified || before != nil && before.Verification.Status == domain.Verified {
			continue
		}
		if verified, ok := r.event.(domain.MethodVerified); ok && verified.Kind == "" || !ok && v.Kind != domain.EvidenceWallet {
			return fmt.Errorf("%s is verified by %q in %s", id, v.Kind, r.Type)
		}
	}
	return nil
}

func i13InUseStays(_ *audit, r recorded) error {
	detached, ok := r.event.(domain.MethodDetached)
	if !ok {
		return nil
	}
	if m := customer(r.before).Methods[detached.MethodID]; m != nil && len(m.InUseBy) > 0 {
		return fmt.Errorf("%s is detached while in use by %v", detached.MethodID, m.InUseBy)
	}
	return nil
}

// refused is the other half of I13: a detach is refused for that reason when it is
// in use.
func (a *audit) refused(w *world, r *request, refusal *domain.Error) {
	if refusal.Code != domain.CodeMethodInUse || len(refusal.InUseBy) == 0 {
		return
	}
	// What is in the log now is what was decided on, but for what came in the same step.
	w.check()
	for _, m := range customer(a.states[r.stream]).Methods {
		if slices.Equal(m.InUseBy, refusal.InUseBy) {
			return
		}
	}
	w.violated("I13: a detach is refused for %v, which use nothing of %s", refusal.InUseBy, r.stream)
}

func i14NoCardNumber(_ *audit, r recorded) error {
	if bytes.Contains(r.Data, []byte(theNumber)) || bytes.Contains(r.Metadata, []byte(theNumber)) {
		return fmt.Errorf("it holds a card number")
	}
	return nil
}

// i6EveryPublicEventOnceAndInOrder: at any moment the stream holds the public events
// of the log from the first on, each once and in order, up to some place.
func i6EveryPublicEventOnceAndInOrder(w *world) error {
	a := w.audit
	a.checked = min(a.checked, len(w.stream.messages)) // after a lost tail
	for ; a.checked < len(w.stream.messages); a.checked++ {
		k := w.stream.messages[a.checked]
		if a.checked >= len(a.public) {
			return fmt.Errorf("I6: the stream holds %s at sequence %d, and the log has only %d public events", k.header.Get("ce-id"), k.sequence, len(a.public))
		}
		r := a.records[a.public[a.checked]]
		_, organization, _ := domain.StreamOwner(r.Stream)
		if k.header.Get("ce-id") != domain.EventID(r.ID) || k.header.Get("ce-pmposition") != r.Position.String() ||
			k.subject != projections.SubjectPrefix+organization+"."+domain.PublicName(r.event) {
			return fmt.Errorf("I6: message %d of the stream is %s of position %s, and public event %d of the log is %s at %s",
				k.sequence, k.header.Get("ce-id"), k.header.Get("ce-pmposition"), a.checked+1, domain.EventID(r.ID), r.Position)
		}
	}
	return nil
}
