package api

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
	"github.com/pmledger/pmledger/eventstore/torture"
)

// pair is two servers on one log.
type pair struct {
	t     *testing.T
	seed  uint64
	nodes [2]*bench
}

func newPair(t *testing.T, seed uint64) *pair {
	p := &pair{t: t, seed: seed}
	store := &troubled{Store: memory.New(), random: p.random(1)}
	for i := range p.nodes {
		p.nodes[i] = newNode(t, store, i+1, func(o *Options) { o.Random = crand.Reader })
	}
	return p
}

func (p *pair) random(n uint64) *rand.Rand { return rand.New(rand.NewPCG(p.seed, n)) }

// send asks one of the two servers.
func (p *pair) send(random *rand.Rand, method, path, body, key string, headers ...string) answer {
	if method != "GET" {
		headers = append(headers, "Idempotency-Key: "+key)
	}
	return p.nodes[random.IntN(len(p.nodes))].do(method, path, body, headers...)
}

// insist asks again until there is an answer, or there will be none. What is asked
// again must have the same key.
func (p *pair) insist(random *rand.Rand, method, path, body, key string, headers ...string) answer {
	var a answer
	for range 100 {
		if a = p.send(random, method, path, body, key, headers...); a.status != 503 && !overtaken(a) {
			break
		}
	}
	return a
}

// overtaken tells whether a command lost every race, and has done nothing.
func overtaken(a answer) bool { return strings.Contains(a.body, `"code":"conflict"`) }

// broken is 1 when the log is not in order.
func (p *pair) broken() int {
	if _, err := eventstore.Verify(p.t.Context(), p.nodes[0].store, nil); err != nil {
		p.t.Error(err)
		return 1
	}
	return 0
}

// troubled is a store of which every seventh append fails: before it is made, or
// after that.
type troubled struct {
	eventstore.Store
	mu     sync.Mutex
	random *rand.Rand
}

// Append implements eventstore.Store.
func (s *troubled) Append(ctx context.Context, stream string, version uint64, records []eventstore.NewRecord) (eventstore.Position, error) {
	s.mu.Lock()
	trouble := s.random.IntN(20)
	s.mu.Unlock()
	switch trouble {
	case 0:
		return 0, fmt.Errorf("no leader: %w", eventstore.ErrUnavailable)
	case 1:
		return 0, fmt.Errorf("cut off: %w", eventstore.ErrUnknownOutcome)
	}
	p, err := s.Store.Append(ctx, stream, version, records)
	if trouble == 2 && err == nil {
		return 0, fmt.Errorf("cut off: %w", eventstore.ErrUnknownOutcome)
	}
	return p, err
}

// keyed are requests of which many hands send one at once, each with another that
// may come under the same key by mistake. {n} is the round.
// None of them asks the gateway for more than facts: what is left to the worker may
// be done when the request is repeated, and then the repeat says so.
var keyed = []struct{ method, path, body, other string }{
	{"POST", "/v1/customers/cus_{n}/payment-methods", `{"type":"card","token":"tok_visa"}`, `{"type":"card","token":"tok_amex"}`},
	{"POST", "/v1/customers/cus_{n}/payment-methods", `{"type":"card","token":"tok_visa","metadata":{"a":"1"}}`, `{"type":"card","token":"tok_visa","metadata":{"a":"2"}}`},
	{"POST", "/v1/payment-methods", `{"type":"card","token":"tok_visa"}`, `{"type":"card","token":"tok_visa","status":"paused"}`},
	{"POST", "/v1/setup-intents", `{"customer_id":"cus_{n}"}`, `{"customer_id":"cus_{n}","usage":"on_session"}`},
	{"PUT", "/v1/subscriptions/sub_{n}", `{"customer_id":"cus_{n}","status":"active"}`, `{"customer_id":"cus_{n}","status":"paused"}`},
	{"POST", "/v1/api-keys", `{"scopes":["payment-methods.read"]}`, `{"scopes":["history.read"]}`},
}

// secretOf is the text of an API key: it is shown once.
var secretOf = regexp.MustCompile(`"key":("pml_[^"]*"|null)`)

// TestOneKeyInManyHandsHasOneEffect sends one request many times at once, to two
// servers, under one idempotency key, while the store fails: there is one effect,
// and one answer. Whoever asks for something else under the key is refused.
func TestOneKeyInManyHandsHasOneEffect(t *testing.T) {
	seed := torture.Seed(t)
	rounds, hands := torture.Size(300, 3000, 20_000), 16
	if testing.Short() {
		rounds /= 10
	}
	p := newPair(t, seed)
	var requests, replays, refused, differ, twice, next atomic.Int64
	atOnce(runtime.GOMAXPROCS(0), func(int) {
		for n := next.Add(1); n <= int64(rounds); n = next.Add(1) {
			r := round{pair: p, n: uint64(n), answers: make([]answer, hands), others: make([]bool, hands)}
			r.run()
			requests.Add(int64(hands))
			replays.Add(r.replays())
			refused.Add(r.refused())
			if wrong := r.wrong(); wrong != "" {
				if differ.Add(1) <= 3 {
					t.Errorf("round %d: %s", n, wrong)
				}
			}
		}
	})
	for key, effects := range p.effects() {
		if effects > 1 && twice.Add(1) <= 3 {
			t.Errorf("%s has happened %d times", key, effects)
		}
	}
	torture.Add(t, torture.Report{
		Campaign: "one key, many hands", Seed: seed,
		Counts: []torture.Figure{torture.Count(requests.Load(), "requests"), torture.Count(rounds, "keys"), torture.Count(replays.Load(), "repeats"), torture.Count(refused.Load(), "reused")},
		Violations: []torture.Figure{
			torture.Count(twice.Load(), "done twice"), torture.Count(differ.Load(), "keys with wrong answers"), torture.Count(p.broken(), "broken histories"),
		},
	})
}

// round is one key in many hands.
type round struct {
	*pair
	n       uint64
	answers []answer
	others  []bool // who asks for the other thing
}

func (r *round) run() {
	what := keyed[r.n%uint64(len(keyed))]
	named := strings.NewReplacer("{n}", strconv.FormatUint(r.n, 10))
	atOnce(len(r.answers), func(i int) {
		random, body := r.random(r.n<<8+uint64(i)), what.body
		if r.others[i] = i%8 == 5; r.others[i] {
			body = what.other
		}
		key := "key " + strconv.FormatUint(r.n, 10)
		if random.IntN(4) == 0 { // the answer is lost on its way
			r.send(random, what.method, named.Replace(what.path), named.Replace(body), key)
		}
		r.answers[i] = r.insist(random, what.method, named.Replace(what.path), named.Replace(body), key)
	})
}

func (r *round) replays() (n int64) {
	for _, a := range r.answers {
		if a.header.Get("Idempotency-Replayed") != "" {
			n++
		}
	}
	return n
}

func (r *round) refused() (n int64) {
	for _, a := range r.answers {
		if a.status == 422 && strings.Contains(a.body, `"code":"idempotency_key.reused"`) {
			n++
		}
	}
	return n
}

// wrong compares the answers: those who asked for one thing have all the same, and
// the others are refused.
func (r *round) wrong() string {
	var done [2]*answer
	shown := 0
	for i, a := range r.answers {
		side := 0
		if r.others[i] {
			side = 1
		}
		if strings.Contains(a.body, `"key":"pml_`) {
			shown++
		}
		if a.status == 422 && strings.Contains(a.body, `"code":"idempotency_key.reused"`) {
			continue
		}
		a.body = secretOf.ReplaceAllString(a.body, "")
		if done[side] == nil {
			done[side] = &a
		}
		if first := done[side]; a.status/100 != 2 || a.status != first.status || a.body != first.body || a.header.Get("Location") != first.header.Get("Location") {
			return fmt.Sprintf("%d %s, and %d %s", a.status, a.body, first.status, first.body)
		}
	}
	switch {
	case done[0] == nil && done[1] == nil:
		return "everybody was refused"
	case done[0] != nil && done[1] != nil:
		return "two requests were taken under one key"
	case shown > 1:
		return fmt.Sprintf("the text of an API key was shown %d times", shown)
	}
	return ""
}

// effects counts how often each key made each kind of event.
func (p *pair) effects() map[string]int {
	effects := map[string]int{}
	store, ctx := p.nodes[0].store, p.t.Context()
	head, err := store.Head(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	for batch, err := range store.Follow(ctx, 0) {
		if err != nil {
			p.t.Fatal(err)
		}
		for _, r := range batch {
			meta, err := eventstore.DecodeMetadata(r.Metadata)
			if err != nil {
				p.t.Fatal(err)
			}
			if strings.HasPrefix(meta.CommandID, "key ") {
				effects[meta.CommandID+" "+r.Type]++
			}
		}
		if batch[len(batch)-1].Position >= head {
			return effects
		}
	}
	return effects
}

// TestNobodysChangeIsLost counts in a payment method's metadata: each client reads
// the number and writes the next one with If-Match, under a key, as often as it
// takes. In the end it has been counted as often as somebody was told so.
func TestNobodysChangeIsLost(t *testing.T) {
	seed := torture.Seed(t)
	counters, clients, turns := torture.Size(10, 200, 3000), 8, 5
	if testing.Short() {
		counters = 2
	}
	p := newPair(t, seed)
	var changes, late, lost, next atomic.Int64
	atOnce(runtime.GOMAXPROCS(0), func(int) {
		for n := next.Add(1); n <= int64(counters); n = next.Add(1) {
			random := p.random(uint64(n))
			path := "/v1/payment-methods/" + idIn(p.insist(random, "POST", fmt.Sprintf("/v1/customers/c%d/payment-methods", n), visa, "attach").body)
			read := func(random *rand.Rand) (number int, etag string) {
				a := p.insist(random, "GET", path, "", "", "Ledger-Min-Position: head")
				var m struct{ Metadata struct{ Number string } }
				if err := json.Unmarshal([]byte(a.body), &m); err != nil {
					t.Error(err)
				}
				number, _ = strconv.Atoi(m.Metadata.Number)
				return number, a.header.Get("Etag")
			}
			atOnce(clients, func(client int) {
				random := p.random(uint64(n)<<8 + uint64(client))
				for done, tries := 0, 0; done < turns && tries < 1000; tries++ {
					number, etag := read(random)
					body := fmt.Sprintf(`{"metadata":{"number":"%d"}}`, number+1)
					a := p.insist(random, "PATCH", path, body, fmt.Sprintf("k%016x", random.Uint64()), "If-Match: "+etag)
					switch a.status {
					case 200:
						done++
						changes.Add(1)
					case 412:
						late.Add(1)
					default:
						t.Errorf("%d %s", a.status, a.body)
						return
					}
				}
			})
			number, _ := read(random)
			lost.Add(int64(clients*turns - number))
		}
	})
	torture.Add(t, torture.Report{
		Campaign: "changes with If-Match", Seed: seed,
		Counts:     []torture.Figure{torture.Count(changes.Load(), "changes"), torture.Count(late.Load(), "too late"), torture.Count(counters, "payment methods")},
		Violations: []torture.Figure{torture.Count(lost.Load(), "lost"), torture.Count(p.broken(), "broken histories")},
	})
}
