package api

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore/torture"
	"github.com/pmledger/pmledger/gateway/sandbox"
)

// side is a pair of organizations: one asks, and the other owns what it asks for.
// Their names are such that one stands before, behind and within the other.
type side struct{ asker, owner, nobody string }

var allSides = []side{{"acme", "acme-2", "acme-3"}, {"acme-2", "acme", "acm"}, {"b", "B", "C"}}

// Something of another organization answers exactly as something that does not
// exist. Two ledgers are alike, but what the one's owner has is unknown in the
// other. Every request is sent to both: the answers must be the same to the byte,
// and so must what the asker has in the log in the end. What the owner has stays
// as it was.
func TestForeignThingsAnswerAsThoseThatDoNotExist(t *testing.T) {
	seed, sides := torture.Seed(t), allSides
	if testing.Short() {
		sides = sides[:1]
	}
	var mu sync.Mutex
	var total probed
	var done sync.WaitGroup
	for i, s := range sides {
		done.Go(func() {
			got := s.probe(t, rand.New(rand.NewPCG(seed, uint64(i))))
			mu.Lock()
			defer mu.Unlock()
			total.probes += got.probes
			total.leaks += got.leaks
			total.wrong += got.wrong
			total.changed += got.changed
		})
	}
	done.Wait()
	torture.Add(t, torture.Report{
		Campaign: "cross-tenant probes", Seed: seed,
		Counts: []torture.Figure{torture.Count(total.probes, "probes"), torture.Count(len(sides), "pairs of organizations")},
		Violations: []torture.Figure{
			torture.Count(total.leaks, "answers that tell"), torture.Count(total.wrong, "not refused"), torture.Count(total.changed, "records and views changed"),
		},
	})
}

// probed is what was counted.
type probed struct{ probes, leaks, wrong, changed int }

// probe sends every probe to a ledger where the owner's things are and to one
// where they are not.
func (s side) probe(t *testing.T, random *rand.Rand) (total probed) {
	there, absent := newWorld(t, s.asker, s.owner, "theirs"), newWorld(t, s.asker, s.nobody, "absent")
	before := append(there.records(s.owner), there.owners()...)
	all := probesOf(there.server.routes, there.own, there.foreign)
	most := torture.Size(len(firstProbes(all))+200, 20000, len(all))
	if rest := all[len(firstProbes(all)):]; len(all) > most {
		random.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
		all = all[:most]
	}
	for _, p := range all {
		total.probes++
		got, want := there.send(p), absent.send(p)
		if got.status != want.status || got.body != want.body || !maps.EqualFunc(got.header, want.header, slices.Equal) {
			if total.leaks++; total.leaks <= 3 {
				t.Errorf("%s asks %s for %s %s %q %s: there\n%+v\nnot there\n%+v", s.asker, s.owner, p.method, p.target, p.headers, p.body, got, want)
			}
		}
		if p.want != 0 && got.status != p.want || p.refused && got.status < 400 {
			if total.wrong++; total.wrong <= 3 {
				t.Errorf("%s asks %s for %s %s %q %s: %d %s", s.asker, s.owner, p.method, p.target, p.headers, p.body, got.status, got.body)
			}
		}
	}
	total.changed = differ(before, append(there.records(s.owner), there.owners()...)) + differ(there.records(s.asker), absent.records(s.asker))
	if total.changed > 0 {
		t.Errorf("%s asked, and %s has other things than before, or %s has", s.asker, s.owner, s.asker)
	}
	return total
}

// world is a ledger with two organizations: the owner, whose things have names of
// their own in each world, and the asker, who is the same in all.
type world struct {
	*bench
	mu      sync.Mutex
	naming  func(uuid.UUID) uuid.UUID
	random  *rand.ChaCha8
	keys    map[string]string // the owner's, and those of the asker by what they may do
	own     map[string][]string
	foreign map[string][]string
}

func newWorld(t *testing.T, asker, owner, name string) *world {
	w := &world{keys: map[string]string{}, random: rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32s", name))))}
	next := numbered(0)
	w.naming = func(id uuid.UUID) uuid.UUID {
		copy(id[9:], name)
		return id
	}
	w.bench = newBench(t, func(o *Options) {
		o.RawCards = true
		o.Random = w
		o.NewID = func() uuid.UUID {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.naming(next())
		}
		o.WebhookSecrets = func(_, organization string) string {
			return map[string]string{asker: webhookSecret, owner: "whsec_" + name}[organization]
		}
	})
	w.keys["owner"] = w.key(owner, domain.ModeTest)
	w.foreign = w.furnish(w.keys["owner"], owner, name)
	w.mu.Lock()
	w.naming = func(id uuid.UUID) uuid.UUID { return id }
	w.random = rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32s", "asker"))))
	w.mu.Unlock()
	w.keys["everything"] = w.key(asker, domain.ModeTest)
	w.own = w.furnish(w.keys["everything"], asker, "own")
	for _, scope := range Scopes() {
		w.keys["only "+scope] = w.key(asker, domain.ModeTest, scope)
		w.keys["not "+scope] = w.key(asker, domain.ModeTest, slices.DeleteFunc(Scopes(), func(s string) bool { return s == scope })...)
	}
	return w
}

// Read makes the API keys' secrets.
func (w *world) Read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.random.Read(p)
}

// send sends a probe. Time goes on, so that nobody runs into the limit of wrong
// credentials.
func (w *world) send(p probe) answer {
	w.clock.add(2 * time.Second)
	headers := append(slices.Clip(p.headers), "X-Request-Id: probe")
	if strings.HasSuffix(p.target, "/webhooks") {
		headers = append(headers, sandbox.SignatureHeader+": "+sandbox.Sign([]byte(p.body), webhookSecret, w.clock.Now()))
	}
	return w.as(w.keys[p.key], p.method, p.target, p.body, headers...)
}

// records are those of an organization, as they are stored.
func (w *world) records(organization string) []string {
	var found []string
	head, err := w.store.Head(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for batch, err := range w.store.Follow(w.t.Context(), 0) {
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range batch {
			if _, whose, _ := domain.StreamOwner(r.Stream); whose == organization {
				found = append(found, fmt.Sprint(r.Stream, r.Version, r.ID, r.Type, string(r.Data), string(r.Metadata)))
			}
		}
		if batch[len(batch)-1].Position >= head {
			break
		}
	}
	return found
}

// owners are the answers that the owner gets: everything it has.
func (w *world) owners() (seen []string) {
	targets := []string{"/v1/organization", "/v1/api-keys?limit=100", "/v1/payment-methods?limit=100&include_removed=true", "/v1/events?limit=100"}
	for _, id := range w.foreign["method"] {
		targets = append(targets, "/v1/payment-methods/"+id, "/v1/payment-methods/"+id+"/history")
	}
	for _, id := range w.foreign["intent"] {
		targets = append(targets, "/v1/setup-intents/"+id)
	}
	for _, id := range w.foreign["subscription"] {
		targets = append(targets, "/v1/subscriptions/"+id)
	}
	for _, id := range w.foreign["event"] {
		targets = append(targets, "/v1/events/"+id)
	}
	for _, target := range targets {
		a := w.as(w.keys["owner"], "GET", target, "", "Ledger-Min-Position: head", "X-Request-Id: owner")
		seen = append(seen, fmt.Sprint(target, a.status, a.body))
	}
	return seen
}

// differ counts the records that only one of the two has, or has elsewhere.
func differ(a, b []string) (n int) {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			n++
		}
	}
	return n
}

// Two organizations with a customer of one name have nothing in common, and one
// idempotency key of theirs is two.
func TestOrganizationsWithTheSameNamesStayApart(t *testing.T) {
	b := newBench(t)
	other := b.key("acme", domain.ModeTest)
	body := `{"type":"card","token":"tok_visa"}`
	mine := b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", body, "Idempotency-Key: k"))
	theirs := b.want(201, b.as(other, "POST", "/v1/customers/cus_1/payment-methods", body, "Idempotency-Key: k"))
	if theirs.header.Get("Idempotency-Replayed") != "" || idIn(mine.body) == idIn(theirs.body) {
		t.Error("the key of another organization was taken for its own")
	}
	alone := b.want(201, b.do("POST", "/v1/payment-methods", body, "Idempotency-Key: k"))
	elsewhere := b.want(201, b.as(other, "POST", "/v1/payment-methods", body, "Idempotency-Key: k"))
	if idIn(alone.body) == idIn(elsewhere.body) {
		t.Error("two organizations derive one id")
	}
	list := b.want(200, b.as(other, "GET", "/v1/payment-methods", ""))
	if strings.Contains(list.body, idIn(mine.body)) || strings.Contains(list.body, idIn(alone.body)) || !strings.Contains(list.body, idIn(elsewhere.body)) {
		t.Error("a list shows another organization's payment methods")
	}
}
