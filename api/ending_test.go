package api

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
)

// held is a store whose appends wait until they are let go.
type held struct {
	eventstore.Store
	begun chan struct{} // takes a value for each append
	let   chan struct{} // closed: they go on
}

func (h *held) Append(ctx context.Context, stream string, version uint64, records []eventstore.NewRecord) (eventstore.Position, error) {
	select {
	case h.begun <- struct{}{}:
	case <-h.let:
	}
	<-h.let
	return h.Store.Append(ctx, stream, version, records)
}

// A client that closes its sending side has ended its request, for all that net/http
// can tell, and still reads the answer.
func TestARequestThatEndedIsNotAnsweredAsASuccess(t *testing.T) {
	b := newBench(t)
	b.stopViews()
	ctx, end := context.WithCancel(t.Context())
	end()
	r := httptest.NewRequest("GET", "/v1/payment-methods/pm_"+strings.Repeat("0", 32), nil).WithContext(ctx)
	r.Header.Set("Authorization", "Bearer "+devKey)
	b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", visa)) // the views are behind, so that the read waits
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	b.refused(503, "store.unavailable", answer{w.Code, w.Header(), w.Body.String()})
	if w.Header().Get("Retry-After") == "" || !strings.Contains(b.log.String(), "status=499") {
		t.Errorf("%v\n%s", w.Header(), b.log.String())
	}
}

// Whoever waits for another command on the same stream is answered in time. The
// command that holds the stream is not given up: its append has begun.
func TestARequestThatWaitsForAnotherIsAnsweredInTime(t *testing.T) {
	store := &held{Store: memory.New(), begun: make(chan struct{}), let: make(chan struct{})}
	b := newBenchOn(t, store)
	first := make(chan answer)
	go func() { first <- b.do("POST", "/v1/customers/cus_1/payment-methods", visa) }()
	<-store.begun
	patient := b.server.AnswerTimeout
	b.server.AnswerTimeout = 20 * time.Millisecond
	const amex = `{"type":"card","token":"tok_amex"}`
	behind := b.do("POST", "/v1/customers/cus_1/payment-methods", amex, "Idempotency-Key: behind")
	b.refused(503, "store.unavailable", behind)
	if behind.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.server.AnswerTimeout = patient
	close(store.let)
	b.want(201, <-first)
	if a := b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", amex, "Idempotency-Key: behind")); a.header.Get("Idempotency-Replayed") != "" {
		t.Error("what was refused is said to have been done")
	}
}
