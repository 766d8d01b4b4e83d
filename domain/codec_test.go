package domain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// randomEvent draws any event with any content.
func randomEvent() *rapid.Generator[Event] {
	return rapid.OneOf(
		anyEvent[MethodAttached](), anyEvent[MethodUpdated](), anyEvent[MethodPaused](), anyEvent[MethodResumed](), anyEvent[MethodExpiring](),
		anyEvent[MethodExpired](), anyEvent[DuplicateDetected](), anyEvent[DefaultChanged](), anyEvent[MethodDetached](), anyEvent[CommandAccepted](),
		anyEvent[OrganizationCreated](), anyEvent[OrganizationUpdated](), anyEvent[KeyCreated](), anyEvent[KeyRevoked](), anyEvent[LedgerCreated](),
		anyEvent[TestClockSet](), anyEvent[VerificationRequested](), anyEvent[VerificationStarted](), anyEvent[VerificationAttemptFailed](),
		anyEvent[VerificationEnded](), anyEvent[MethodVerified](), anyEvent[MethodSynced](), anyEvent[MethodActivated](), anyEvent[MethodFailed](),
		anyEvent[MethodBlocked](), anyEvent[MandateUpdated](), anyEvent[MandateExpiring](), anyEvent[GatewayDetached](), anyEvent[GatewayDetachFailed](),
		anyEvent[ReplacementAvailable](), anyEvent[MethodReplacedByUpdater](), anyEvent[MethodReplaced](), anyEvent[MethodDeclined](),
		anyEvent[SubscriptionUpdated](), anyEvent[SubscriptionDeleted](), anyEvent[SubscriptionClaimed](), anyEvent[SetupIntentCreated](),
		anyEvent[SetupIntentProcessing](), anyEvent[SetupIntentNeedsAction](), anyEvent[SetupIntentSucceeded](), anyEvent[SetupIntentFailed](),
		anyEvent[SetupIntentCanceled](),
	)
}

func anyEvent[E Event]() *rapid.Generator[Event] {
	made := rapid.MakeCustom[E](rapid.MakeConfig{Types: map[reflect.Type]*rapid.Generator[any]{
		reflect.TypeFor[time.Time](): rapid.Custom(func(t *rapid.T) any {
			return time.UnixMilli(rapid.Int64Range(0, 4_000_000_000_000).Draw(t, "ms")).UTC()
		}),
		reflect.TypeFor[MethodID](): rapid.Custom(func(t *rapid.T) any {
			return MethodID(rapid.SampledFrom([]string{"", "pm_0", "pm_1"}).Draw(t, "id"))
		}),
		reflect.TypeFor[SetupIntentID](): rapid.Custom(func(t *rapid.T) any {
			return SetupIntentID(rapid.SampledFrom([]string{"", "seti_0", "seti_1"}).Draw(t, "intent"))
		}),
	}})
	return rapid.Map(made, func(e E) Event { return e })
}

func TestAnyEventIsReadBackAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := randomEvent().Draw(t, "event")
		name, data, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := Decode(name, Schema, data)
		if err != nil {
			t.Fatal(err)
		}
		again, dataAgain, err := Encode(decoded)
		if err != nil || again != name || !bytes.Equal(data, dataAgain) {
			t.Fatalf("%s %s\nbecame %s %s (%v)", name, data, again, dataAgain, err)
		}
	})
}

func TestEverySampleIsReadBackEqual(t *testing.T) {
	for _, e := range catalogue(t) {
		name, data, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if decoded, err := Decode(name, Schema, data); err != nil || !reflect.DeepEqual(decoded, e) {
			t.Errorf("%s is read back as %+v, %v", name, decoded, err)
		}
	}
}

func TestMembersOfALaterReleaseAreLeftInTheLog(t *testing.T) {
	e, err := Decode("payment_method.paused", 1, []byte(`{"payment_method_id":"pm_1","colour":"blue","more":{"x":[1]}}`))
	if want := (MethodPaused{MethodID: "pm_1"}); err != nil || e != Event(want) {
		t.Errorf("got %+v, %v; want %+v", e, err, want)
	}
}

func TestAnUnknownEventIsNamedAndNeverSkipped(t *testing.T) {
	for _, row := range []struct {
		name   string
		schema int
	}{{"payment_method.teleported", 1}, {"payment_method.paused", Schema + 1}, {"payment_method.paused", 0}} {
		e, err := Decode(row.name, row.schema, []byte(`{}`))
		var unknown *UnknownEventError
		if !errors.As(err, &unknown) || unknown.Name != row.name || unknown.Schema != row.schema || e != nil {
			t.Errorf("%s with schema %d: %v, %v; want an *UnknownEventError", row.name, row.schema, e, err)
		} else if !strings.Contains(err.Error(), row.name) || !strings.Contains(err.Error(), fmt.Sprintf("schema %d", row.schema)) {
			t.Errorf("the error %q does not name %s with schema %d", err, row.name, row.schema)
		}
	}
}

func TestDamagedDataIsAnErrorThatNamesTheEvent(t *testing.T) {
	for _, data := range []string{"", "{", "[]", `"x"`, `{"payment_method_id":7}`, `{"payment_method_id":"pm_1"} x`, "\x00"} {
		if _, err := Decode("payment_method.paused", 1, []byte(data)); err == nil || !strings.Contains(err.Error(), "payment_method.paused") {
			t.Errorf("%q: error %v, want one that names the event", data, err)
		}
	}
}

func TestOldShapesAreLiftedStepByStep(t *testing.T) {
	lift := func(from, to string) func([]byte) ([]byte, error) {
		return func(data []byte) ([]byte, error) {
			return bytes.ReplaceAll(data, []byte(from), []byte(to)), nil
		}
	}
	steps := []upcast{
		{name: "payment_method.resumed", from: 1, lift: lift("why", "wrong")},
		{name: "payment_method.paused", from: 0, lift: lift("why", "too old")},
		{name: "payment_method.paused", from: 1, lift: lift("why", "because")},
		{name: "payment_method.paused", from: 2, lift: lift("because", "reason")},
	}
	e, err := decodeWith(steps, "payment_method.paused", 1, []byte(`{"payment_method_id":"pm_1","why":"lost"}`))
	if want := (MethodPaused{MethodID: "pm_1", Reason: "lost"}); err != nil || e != Event(want) {
		t.Errorf("got %+v, %v; want %+v", e, err, want)
	}
	failing := []upcast{{name: "payment_method.paused", from: 1, lift: func([]byte) ([]byte, error) { return nil, fmt.Errorf("no reason") }}}
	if _, err := decodeWith(failing, "payment_method.paused", 1, []byte(`{}`)); err == nil || !strings.Contains(err.Error(), "payment_method.paused") {
		t.Errorf("error %v, want one that names the event", err)
	}
}

func TestPersonalDataStandsInOneMember(t *testing.T) {
	personal := []string{"Ada Muster", "ada@acme.example", "Bahnhofstrasse 1", "team"}
	for _, e := range catalogue(t) {
		_, data, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(data, &members); err != nil {
			t.Fatal(err)
		}
		delete(members, "personal")
		rest, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range personal {
			if bytes.Contains(rest, []byte(word)) {
				t.Errorf("%s shows %q outside personal", e.StoredName(), word)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	names := []string{}
	for _, e := range append(coreSamples(), lifecycleSamples()...) {
		_, data, err := Encode(e)
		if err != nil {
			f.Fatal(err)
		}
		names = append(names, e.StoredName())
		f.Add(len(names)-1, data)
	}
	f.Fuzz(func(t *testing.T, which int, data []byte) {
		if which < 0 || which >= len(names) {
			return
		}
		e, err := Decode(names[which], Schema, data)
		if err != nil {
			return
		}
		for _, s := range []State{NewState("customer-acme+cus_1"), NewState("organization-acme"), NewState("subscription-acme+sub_1")} {
			_ = Contradiction(s, e)
			s.Evolve(e, time.Unix(0, 0))
		}
	})
}

func BenchmarkEncodeAttached(b *testing.B) { benchmarkEncode(b, benchAttached()) }
func BenchmarkEncodeDefaultChanged(b *testing.B) {
	benchmarkEncode(b, DefaultChanged{To: sampleMethod, Cause: CausePolicy})
}
func BenchmarkDecodeAttached(b *testing.B) { benchmarkDecode(b, benchAttached()) }
func BenchmarkDecodeDefaultChanged(b *testing.B) {
	benchmarkDecode(b, DefaultChanged{To: sampleMethod, Cause: CausePolicy})
}

// benchAttached is an attach as most are: a card, without personal data.
func benchAttached() Event {
	return MethodAttached{
		MethodID: sampleMethod, Organization: "acme", Customer: "cus_1", FactsFrom: "gateway", Provider: "sandbox", ProviderID: "tok_visa",
		Facts: Facts{
			Type: TypeCard, Method: "card", Country: "US", Fingerprint: "0123456789abcdef0123456789abcdef",
			Card: &Card{Brand: "visa", Last4: "4242", ExpMonth: 12, ExpYear: 2034, Country: "US", Funding: "credit"},
		},
		Status: StatusActive, Verification: Verification{Status: Unverified}, ExpiresAt: time.Date(2035, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

func benchmarkEncode(b *testing.B, e Event) {
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Encode(e); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkDecode(b *testing.B, e Event) {
	name, data, err := Encode(e)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(name, Schema, data); err != nil {
			b.Fatal(err)
		}
	}
}
