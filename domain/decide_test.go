package domain

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// The scenarios in testdata/decide are the rules as text. A scenario begins with
// a line without indent, its title, and goes on with indented lines:
//
//	policy  <key=value …>    what the organization has chosen (see parsePolicy)
//	at      <time>           the time from here on
//	given   <command>        a command that is accepted
//	given   event <event>    an event that no command here leads to
//	when    <command>        the command that is tried
//	then    <event>          … leads to this event, the next one (see describe)
//	then    nothing          … is accepted and changes nothing
//	then    refused <code>   … is refused; "at <place>" for each fault follows
//	and     <id> <text>      afterwards the method is described so (see describeMethod),
//	                         or the setup intent, or the subscription
//
// "stream" names another stream than that of customer cus_1. Lines with # are comments.
type scenario struct {
	file, title string
	steps       []step
}

type step struct {
	line       int
	word, text string
}

func readScenarios(t *testing.T) []scenario {
	t.Helper()
	files, err := filepath.Glob("testdata/decide/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	var all []scenario
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			trimmed := strings.TrimSpace(line)
			switch {
			case trimmed == "" || trimmed[0] == '#':
			case line[0] != ' ' && line[0] != '\t':
				all = append(all, scenario{file: strings.TrimSuffix(filepath.Base(file), ".txt"), title: trimmed})
			default:
				word, text, _ := strings.Cut(trimmed, " ")
				last := &all[len(all)-1]
				last.steps = append(last.steps, step{i + 1, word, strings.TrimSpace(text)})
			}
		}
	}
	return all
}

// play is one scenario as it runs.
type play struct {
	t         *testing.T
	state     State
	policy    Policy
	now       time.Time
	events    []Event // of the last "when", not yet named by a "then"
	refusal   error
	decided   []Event // of all "when"
	commands  []Command
	refusedAs []Code
}

func newPlay(t *testing.T) *play {
	return &play{
		t: t, state: NewState("customer-acme+cus_1"), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		policy: Policy{Settings: DefaultSettings(), Location: time.UTC, MaxMethods: 1000},
	}
}

func TestDecideFollowsTheScenarios(t *testing.T) {
	seen := newPlay(t)
	for _, s := range readScenarios(t) {
		t.Run(s.file+"/"+s.title, func(t *testing.T) {
			p := newPlay(t)
			for _, step := range s.steps {
				if err := p.take(step); err != nil {
					t.Fatalf("testdata/decide/%s.txt:%d: %s %s: %v", s.file, step.line, step.word, step.text, err)
				}
			}
			if err := p.settled(); err != nil {
				t.Fatalf("testdata/decide/%s.txt: at the end: %v", s.file, err)
			}
			seen.decided = append(seen.decided, p.decided...)
			seen.commands = append(seen.commands, p.commands...)
			seen.refusedAs = append(seen.refusedAs, p.refusedAs...)
		})
	}
	everyRuleIsTold(t, seen)
}

// everyRuleIsTold: a command, a decided event or a refusal without a scenario is
// a rule that nobody wrote down.
func everyRuleIsTold(t *testing.T, seen *play) {
	told := map[string]bool{}
	for _, c := range seen.commands {
		told[c.CommandName()] = true
	}
	for _, e := range seen.decided {
		told[e.StoredName()] = true
	}
	for _, code := range seen.refusedAs {
		told[string(code)] = true
	}
	for _, c := range everyCommand() {
		if !told[c.CommandName()] {
			t.Errorf("no scenario tries the command %s", c.CommandName())
		}
	}
	for _, e := range catalogue(t) {
		if stored := e.StoredName(); !told[stored] && stored != (CommandAccepted{}).StoredName() && stored != (LedgerCreated{}).StoredName() {
			t.Errorf("no scenario leads to %s", stored)
		}
	}
	for _, code := range []Code{
		CodeValidationFailed, CodeMethodNotFound, CodeMethodInUse, CodeMethodDetached, CodeMethodDuplicate, CodeMethodNotActive,
		CodeTooManyMethods, CodeKeyNotFound, CodeConflict, CodePreconditionFailed, CodeForbidden, CodeInternal,
		CodeSubscriptionNotFound, CodeSubscriptionMismatch, CodeSetupIntentNotFound, CodeSetupIntentState, CodeVerificationMismatch,
		CodeVerificationExpired, CodeVerificationExhausted, CodeVerificationNotPending, CodeGatewayDeclined, CodeGatewayUnavailable,
	} {
		if !told[string(code)] {
			t.Errorf("no scenario is refused with %s", code)
		}
	}
}

func (p *play) take(s step) error {
	switch s.word {
	case "stream":
		p.state = NewState(s.text)
	case "at":
		at, err := time.Parse(time.RFC3339Nano, s.text)
		p.now = at
		return err
	case "policy":
		return p.parsePolicy(s.text)
	case "given":
		return p.given(s.text)
	case "when":
		if err := p.settled(); err != nil {
			return err
		}
		return p.when(s.text)
	case "then":
		return p.then(s.text)
	case "and":
		return p.and(s.text)
	default:
		return fmt.Errorf("no such word")
	}
	return nil
}

func (p *play) given(text string) error {
	if event, ok := strings.CutPrefix(text, "event "); ok {
		e, err := parseEvent(event, p.state)
		if err != nil {
			return err
		}
		return p.fold([]Event{e})
	}
	cmd, err := p.parseCommand(text)
	if err != nil {
		return err
	}
	events, err := p.state.Decide(cmd, p.now)
	if err != nil {
		return err
	}
	return p.fold(events)
}

// fold lets the state evolve, as a reader of the stream would.
func (p *play) fold(events []Event) error {
	for _, e := range events {
		name, data, err := Encode(e)
		if err != nil {
			return err
		}
		decoded, err := Decode(name, Schema, data)
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(decoded, e) {
			return fmt.Errorf("%s is read back as %+v, was %+v", name, decoded, e)
		}
		if err := Contradiction(p.state, decoded); err != nil {
			return err
		}
		p.state.Evolve(decoded, p.now)
	}
	return nil
}

func (p *play) when(text string) error {
	cmd, err := p.parseCommand(text)
	if err != nil {
		return err
	}
	p.commands = append(p.commands, cmd)
	p.events, p.refusal = p.state.Decide(cmd, p.now)
	if p.refusal == nil {
		p.refusal = RefusalIn(p.events)
	} else if p.events != nil {
		return fmt.Errorf("refused with %v, and yet there are events", p.refusal)
	}
	p.decided = append(p.decided, p.events...)
	return p.fold(p.events)
}

func (p *play) then(text string) error {
	if refused, ok := strings.CutPrefix(text, "refused "); ok {
		err := p.refusal
		p.refusal = nil
		if got := describeRefusal(err); got != refused {
			return fmt.Errorf("it is: %s", got)
		}
		p.refusedAs = append(p.refusedAs, CodeOf(err))
		return nil
	}
	got := "nothing"
	if p.refusal != nil && len(p.events) == 0 {
		got = "refused " + describeRefusal(p.refusal)
	} else if len(p.events) > 0 {
		got, p.events = describe(p.events[0]), p.events[1:]
	}
	if got != text {
		return fmt.Errorf("it is: %s", got)
	}
	return nil
}

// settled tells whether the scenario has named all that came of the last "when".
func (p *play) settled() error {
	if len(p.events) > 0 {
		return fmt.Errorf("there is more: %s", describe(p.events[0]))
	}
	if p.refusal != nil {
		return fmt.Errorf("it was refused: %s", describeRefusal(p.refusal))
	}
	return nil
}

func (p *play) and(text string) error {
	id, want, _ := strings.Cut(text, " ")
	got := "unknown"
	switch s := p.state.(type) {
	case *Customer:
		if m := s.Methods[MethodID(id)]; m != nil {
			got = describeMethod(m)
		} else if i := s.SetupIntents[SetupIntentID(id)]; i != nil {
			got = describeIntent(i)
		} else if u, ok := s.Subscriptions[id]; ok {
			got = fmt.Sprintf("%s on %s version %d", u.Status, orNone(u.Method), u.Version)
		}
	case *Claim:
		got = "of " + s.Customer
	case *Organization:
		got = describeOrganization(s)
	}
	if got != want {
		return fmt.Errorf("it is: %s %s", id, got)
	}
	return nil
}

func describeRefusal(err error) string {
	var e *Error
	if !errors.As(err, &e) {
		return fmt.Sprintf("no refusal (%v)", err)
	}
	words := []string{string(e.Code)}
	for _, f := range e.Faults {
		words = append(words, "at "+f.Location)
	}
	for _, s := range e.InUseBy {
		words = append(words, "by "+s)
	}
	if e.Method != "" {
		words = append(words, "of "+string(e.Method))
	}
	return strings.Join(words, " ")
}

func describeMethod(m *Method) string {
	words := []string{string(m.Status)}
	if m.IsDefault {
		words = append(words, "default")
	}
	if m.Expiring {
		words = append(words, "expiring")
	}
	words = append(words, string(m.Verification.Status), fmt.Sprintf("version %d", m.Version))
	if m.ExternalID != "" {
		words = append(words, "external_id="+m.ExternalID)
	}
	if a := m.Personal.BillingAddress; a != nil {
		words = append(words, fmt.Sprintf("billing=%q", a.Line1))
	}
	for _, key := range slices.Sorted(maps.Keys(m.Personal.Metadata)) {
		words = append(words, "metadata."+key+"="+m.Personal.Metadata[key])
	}
	return strings.Join(append(words, describeLife(m)...), " ")
}

func describeOrganization(o *Organization) string {
	words := []string{string(o.Mode), describe(OrganizationUpdated{Settings: o.Settings})}
	for _, id := range slices.Sorted(maps.Keys(o.Keys)) {
		if o.Keys[id].RevokedAt.IsZero() {
			words = append(words, "key "+id)
		} else {
			words = append(words, "revoked key "+id)
		}
	}
	return strings.Join(words, "; ")
}
