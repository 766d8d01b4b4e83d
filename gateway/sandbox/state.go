package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/pmledger/pmledger/gateway"
)

// The calls that change something at a provider.
const (
	opTokenize = "tokenize"
	opVerify   = "verify"
	opConfirm  = "confirm"
	opResend   = "resend"
	opSetup    = "setup"
	opApprove  = "approve"
	opCancel   = "cancel"
	opDetach   = "detach"
)

// Effect is something that happened in the sandbox, once, whatever became of the
// answer.
type Effect struct {
	Op           string `json:"op"` // tokenize, verify, confirm, resend, setup, approve, cancel, detach
	Organization string `json:"organization,omitempty"`
	Customer     string `json:"customer,omitempty"`
	Token        string `json:"token,omitempty"`
	Key          string `json:"key,omitempty"` // the idempotency key; "" is never known again
}

// KeptAnswers is how many answers the sandbox knows again by their idempotency
// keys; the oldest are forgotten first. Providers do so after a day.
const KeptAnswers = 100_000

// call is an effect that is asked for.
type call struct {
	Effect
	request string // a digest: what else was asked, under the same key
	card    *storedCard
	lost    bool   // the first answer does not arrive
	ends    string // the reference of what the call ends, if it does; do may set it
}

// entry is an effect as it is remembered, and a line of the file.
type entry struct {
	Effect
	Request string          `json:"request,omitempty"`
	Answer  json.RawMessage `json:"answer,omitempty"`
	Card    *storedCard     `json:"card,omitempty"`
	Ends    string          `json:"ends,omitempty"`   // the reference of what ended with it
	Repeat  bool            `json:"repeat,omitempty"` // not an effect: the answer was asked for once more
	calls   int
}

// name is what a repeat is found by.
func (e Effect) name() string { return e.Op + "\n" + e.Organization + "\n" + e.Key }

// state is what the sandbox remembers. Its zero value remembers in memory.
type state struct {
	lookups atomic.Int64

	mu      sync.Mutex
	entries []*entry          // in order; what is beyond kept is forgotten at times
	answers map[string]*entry // by name
	cards   map[string]*storedCard
	ended   map[string]*entry // by reference: how it ended
	gone    map[string]bool   // tokens of cards that were detached
	seen    map[string]bool   // what _recovers was looked up for; of this process alone
	kept    int               // 0 is KeptAnswers
	file    *file
}

// perform does what c asks for unless it was done before, and remembers the
// answer before it returns it. Refusals are not remembered: they follow from the
// token, and nothing happened. do runs with the state locked.
func perform[T any](s *state, c *call, do func() (T, error)) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var none T
	if known := s.answers[c.name()]; known != nil && c.Key != "" {
		if known.Request != c.request {
			return none, &gateway.Error{
				Kind: gateway.Declined, Message: "the payment provider has answered another request with this idempotency key",
			}
		}
		return repeat[T](s, known)
	}
	answer, err := do()
	if err != nil {
		return none, err
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return none, &gateway.Error{Kind: gateway.Unavailable, Message: "the sandbox cannot write its answer down", Err: err}
	}
	e := &entry{Effect: c.Effect, Request: c.request, Answer: body, Card: c.card, Ends: c.ends}
	if e.Card != nil {
		e.Token = e.Card.Token
	}
	if err := s.write(e, true); err != nil {
		return none, err
	}
	s.take(e)
	if c.lost {
		return none, &gateway.Error{Kind: gateway.UnknownOutcome, Message: "the payment provider's answer got lost"}
	}
	return answer, nil
}

func repeat[T any](s *state, known *entry) (T, error) {
	var answer T
	if err := json.Unmarshal(known.Answer, &answer); err != nil {
		return answer, &gateway.Error{Kind: gateway.UnknownOutcome, Message: "the sandbox cannot read its earlier answer", Err: err}
	}
	again := &entry{Effect: known.Effect, Repeat: true}
	if err := s.write(again, false); err != nil {
		return answer, err
	}
	s.take(again)
	return answer, nil
}

// write makes e outlive the process. With sync it also outlives the machine.
func (s *state) write(e *entry, sync bool) error {
	if s.file == nil {
		return nil
	}
	return s.file.append(e, sync)
}

// take remembers e. It is the same for what happens and for what is read back.
func (s *state) take(e *entry) {
	if s.answers == nil {
		s.answers, s.cards, s.ended = map[string]*entry{}, map[string]*storedCard{}, map[string]*entry{}
	}
	if e.Repeat {
		if known := s.answers[e.name()]; known != nil {
			known.calls++
		}
		return
	}
	if e.Card != nil {
		s.cards[e.Card.Token] = e.Card
	}
	if e.Op == opDetach && isCardToken(e.Token) {
		delete(s.cards, e.Token)
		if s.gone == nil {
			s.gone = map[string]bool{}
		}
		s.gone[e.Token] = true
	}
	if e.Ends != "" {
		s.ended[e.Ends] = e
	}
	e.calls = max(e.calls, 1)
	s.entries = append(s.entries, e)
	s.answers[e.name()] = e
	if kept := s.keeps(); len(s.entries) >= 2*kept {
		s.forget(len(s.entries) - kept)
	}
}

// first tells whether name is asked about for the first time, as far back as the
// state remembers.
func (s *state) first(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[name] {
		return false
	}
	if s.seen == nil || len(s.seen) >= s.keeps() {
		s.seen = map[string]bool{}
	}
	s.seen[name] = true
	return true
}

func (s *state) keeps() int {
	if s.kept == 0 {
		return KeptAnswers
	}
	return s.kept
}

func (s *state) forget(oldest int) {
	for _, e := range s.entries[:oldest] {
		if s.answers[e.name()] == e {
			delete(s.answers, e.name())
		}
		if s.ended[e.Ends] == e {
			delete(s.ended, e.Ends)
		}
	}
	s.entries = append([]*entry(nil), s.entries[oldest:]...)
}

// card is what is kept of a card here, nil when nothing is: because it was
// detached, perhaps.
func (s *state) card(token string) (c *storedCard, gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cards[token], s.gone[token]
}

// Effects returns what happened, oldest first, as far back as it is kept.
func (g *Gateway) Effects() []Effect {
	g.state.mu.Lock()
	defer g.state.mu.Unlock()
	effects := make([]Effect, len(g.state.entries))
	for i, e := range g.state.entries {
		effects[i] = e.Effect
	}
	return effects
}

// Calls counts the answered calls with an idempotency key that changed something
// or found that it had happened: one of each kind is the effect, the others are
// repeats. Lookups and refused calls are not counted.
func (g *Gateway) Calls(key string) int {
	g.state.mu.Lock()
	defer g.state.mu.Unlock()
	n := 0
	for _, e := range g.state.entries {
		if e.Key == key {
			n += e.calls
		}
	}
	return n
}

// Lookups counts the lookups since the gateway was made or opened.
func (g *Gateway) Lookups() int64 { return g.state.lookups.Load() }

// digest names a list of texts by 32 hex digits.
func digest(texts ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "pmledger sandbox request\n%q", texts))
	return hex.EncodeToString(sum[:16])
}
