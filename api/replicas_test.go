package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
)

// lateStore shows its followers what comes after a position in the log only while
// it is not held.
type lateStore struct {
	eventstore.Store
	after eventstore.Position
	held  chan struct{} // closed to let go
}

func (s *lateStore) Follow(ctx context.Context, after eventstore.Position) iter.Seq2[[]eventstore.Record, error] {
	return func(yield func([]eventstore.Record, error) bool) {
		for batch, err := range s.Store.Follow(ctx, after) {
			if len(batch) > 0 && batch[len(batch)-1].Position > s.after {
				select {
				case <-s.held:
				case <-ctx.Done():
				}
			}
			if !yield(batch, err) {
				return
			}
		}
	}
}

// TestOneIdempotencyKeyOnTwoNodesHasOneEffect sends the same request to both at the
// same moment.
func TestOneIdempotencyKeyOnTwoNodesHasOneEffect(t *testing.T) {
	store := memory.New()
	random := func(o *Options) { o.Random = rand.Reader }
	nodes := []*bench{newNode(t, store, 1, random), newNode(t, store, 2, random)}
	shownOnce := 0
	for round := range 40 {
		key := "Idempotency-Key: " + strconv.Itoa(round)
		for name, request := range map[string][2]string{
			"attach": {fmt.Sprintf("/v1/customers/cus_%d/payment-methods", round), `{"type":"card","token":"tok_visa"}`},
			"setup":  {"/v1/setup-intents", fmt.Sprintf(`{"customer_id":"cus_%d","token":"tok_amex","confirm":true}`, round)},
			"key":    {"/v1/api-keys", `{"scopes":["payment-methods.read"]}`},
		} {
			answers := make([]answer, len(nodes))
			atOnce(len(nodes), func(i int) {
				answers[i] = nodes[i].do("POST", request[0], request[1], key+name)
			})
			replayed := 0
			for i, a := range answers {
				if a.status != 201 {
					t.Fatalf("%s: %d %s", name, a.status, a.body)
				}
				if a.header.Get("Idempotency-Replayed") == "true" {
					replayed++
				}
				var issued struct{ Key *string }
				if err := json.Unmarshal([]byte(a.body), &issued); err != nil {
					t.Fatal(err)
				}
				if issued.Key != nil {
					shownOnce++
					nodes[1-i].want(200, nodes[1-i].as(*issued.Key, "GET", "/v1/payment-methods", ""))
				}
			}
			if replayed != 1 {
				t.Errorf("%s: %d answers of 2 are repeats", name, replayed)
			}
			if name != "key" && answers[0].body != answers[1].body {
				t.Errorf("%s:\n%s\n%s", name, answers[0].body, answers[1].body)
			}
		}
	}
	if shownOnce != 40 {
		t.Errorf("%d texts of 40 keys were shown", shownOnce)
	}
	if _, err := eventstore.Verify(t.Context(), store, nil); err != nil {
		t.Errorf("the history is not in order: %v", err)
	}
}

// TestASubscriptionIsClaimedOnceOnTwoNodes lets two customers claim it at once.
func TestASubscriptionIsClaimedOnceOnTwoNodes(t *testing.T) {
	store := memory.New()
	nodes := []*bench{newNode(t, store, 1), newNode(t, store, 2)}
	for round := range 40 {
		answers := make([]answer, len(nodes))
		atOnce(len(nodes), func(i int) {
			answers[i] = nodes[i].do("PUT", fmt.Sprintf("/v1/subscriptions/sub_%d", round), fmt.Sprintf(`{"customer_id":"cus_%d","status":"active"}`, i))
		})
		won := 0
		for i, a := range answers {
			if a.status == 200 {
				won++
				for _, n := range nodes {
					if got := n.want(200, n.do("GET", fmt.Sprintf("/v1/subscriptions/sub_%d", round), "")); !strings.Contains(got.body, fmt.Sprintf(`"customer_id":"cus_%d"`, i)) {
						t.Errorf("the winner is cus_%d: %s", i, got.body)
					}
				}
			} else {
				nodes[i].refused(409, "subscription.customer_mismatch", a)
			}
		}
		if won != 1 {
			t.Errorf("%d customers of 2 have it", won)
		}
	}
}

// TestAPositionOfOneNodeHoldsOnAnother reads what another node wrote.
func TestAPositionOfOneNodeHoldsOnAnother(t *testing.T) {
	store := memory.New()
	late := &lateStore{Store: store, held: make(chan struct{})}
	writer := newNode(t, store, 1)
	reader := newNode(t, late, 2, func(o *Options) { o.WaitTimeout = 20 * time.Millisecond })
	a := writer.want(201, writer.do("POST", "/v1/customers/cus_1/payment-methods", visa))
	for _, path := range []string{"/v1/payment-methods/" + idIn(a.body), "/v1/payment-methods", "/v1/events"} {
		for _, position := range []string{a.header.Get("Ledger-Position"), "head"} {
			reader.refused(503, "position.not_reached", reader.do("GET", path, "", "Ledger-Min-Position: "+position))
		}
	}
	reader.refused(503, "position.not_reached", reader.do("GET", "/v1/payment-methods/"+idIn(a.body), "")) // it is no 404
	close(late.held)
	reader.server.WaitTimeout = 5 * time.Second
	got := reader.want(200, reader.do("GET", "/v1/payment-methods/"+idIn(a.body), "", "Ledger-Min-Position: "+a.header.Get("Ledger-Position")))
	if got.body != a.body {
		t.Errorf("got  %s\nwant %s", got.body, a.body)
	}
}

// TestThePastIsNotAnsweredTooEarly: what another node wrote may belong to it.
func TestThePastIsNotAnsweredTooEarly(t *testing.T) {
	store := memory.New()
	writer := newNode(t, store, 1)
	a := writer.want(201, writer.do("POST", "/v1/customers/cus_1/payment-methods", visa))
	head, err := store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	late := &lateStore{Store: store, after: head, held: make(chan struct{})}
	reader := newNode(t, late, 2, func(o *Options) { o.WaitTimeout = 20 * time.Millisecond })
	path := "/v1/payment-methods/" + idIn(a.body)
	past := path + "?as_of=" + writer.clock.Now().Format(time.RFC3339Nano)
	reader.want(200, reader.do("GET", past, ""))
	changed := writer.want(200, writer.do("PATCH", path, `{"external_id":"e-1"}`))
	reader.refused(503, "position.not_reached", reader.do("GET", past, ""))
	close(late.held)
	reader.server.WaitTimeout = 5 * time.Second
	if got := reader.want(200, reader.do("GET", past, "")); got.body != changed.body {
		t.Errorf("got  %s\nwant %s", got.body, changed.body)
	}
}

// TestAWebhookWaitsForWhatItIsAbout: a provider is faster with its webhook than this
// node with what another one attached.
func TestAWebhookWaitsForWhatItIsAbout(t *testing.T) {
	store := memory.New()
	late := &lateStore{Store: store, held: make(chan struct{})}
	writer, reader := newNode(t, store, 1), newNode(t, late, 2)
	id := idIn(writer.want(201, writer.do("POST", "/v1/customers/cus_1/payment-methods", visa)).body)
	answered := make(chan answer)
	go func() { answered <- reader.webhook(`{"id":"evt_1","token":"tok_visa","detached":true}`) }()
	select {
	case a := <-answered:
		t.Fatalf("it was answered without the views: %d %s", a.status, a.body)
	case <-time.After(20 * time.Millisecond):
	}
	close(late.held)
	if a := reader.want(200, <-answered); !strings.Contains(a.body, `"handled":1`) {
		t.Error(a.body)
	}
	if a := writer.want(200, writer.do("GET", "/v1/payment-methods/"+id, "", "Ledger-Min-Position: head")); !strings.Contains(a.body, `"status":"detached"`) {
		t.Error(a.body)
	}
}

// TestAKeyRevokedOnAnotherNodeStopsWorkingHere is about a node whose views stand
// still: it asks the log once they are too far behind.
func TestAKeyRevokedOnAnotherNodeStopsWorkingHere(t *testing.T) {
	store := memory.New()
	var fresh atomic.Pointer[Freshness]
	fresh.Store(&Freshness{})
	writer := newNode(t, store, 1)
	reader := newNode(t, store, 2, func(o *Options) {
		o.MaxLag, o.Freshness = 10*time.Second, func() Freshness { return *fresh.Load() }
	})
	key := writer.key("acme", domain.ModeTest, ScopeMethodsRead)
	list := func() answer { return reader.as(key, "GET", "/v1/payment-methods", "") }
	reader.want(200, list())
	reader.stopViews()
	parsed, err := ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	admin := writer.key("acme", domain.ModeTest, ScopeKeysAdmin)
	writer.want(200, writer.as(admin, "DELETE", "/v1/api-keys/"+parsed.ID, ""))

	for _, c := range []struct {
		Freshness
		status int
		code   domain.Code
	}{
		{Freshness{Behind: 10 * time.Second}, 200, ""},
		{Freshness{Behind: 10*time.Second + 1}, 401, "unauthorized"},
		{Freshness{Behind: keyTrust, CutOff: true}, 200, ""},
		{Freshness{Behind: keyTrust + 1, CutOff: true}, 503, "store.unavailable"},
	} {
		fresh.Store(&c.Freshness)
		if c.status == 200 {
			reader.want(200, list())
		} else {
			reader.refused(c.status, c.code, list())
		}
	}
}
