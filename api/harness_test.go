package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/sandbox"
	"github.com/pmledger/pmledger/projections"
)

// bench is a whole ledger without a network: a store in memory, real views on a
// disk, the sandbox gateway, and the handler in front of them.
type bench struct {
	t       testing.TB
	store   eventstore.Store
	ledger  *eventstore.Ledger
	views   *projections.Views
	secrets Secrets
	server  *Server
	handler http.Handler
	log     *safeBuffer
	clock   *clock
	random  io.Reader
	sandbox *sandbox.Gateway
	worker  *projections.Worker
	expiry  *projections.ExpiryClock

	stopViews func() // from then on the views stay where they are
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *safeBuffer) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.Reset()
}

const devKey = "pml_test_a_key_for_trying_things_out"

// numbered makes ids that are the same in every run, and others for another node.
func numbered(node int) func() uuid.UUID {
	var mu sync.Mutex
	n := uint64(0)
	return func() uuid.UUID {
		mu.Lock()
		defer mu.Unlock()
		n++
		return uuid.MustParse(fmt.Sprintf("01930000-0000-7000-80%02x-%012x", node, n))
	}
}

func newBench(t testing.TB, change ...func(*Options)) *bench {
	t.Helper()
	return newBenchOn(t, memory.New(), change...)
}

func newBenchOn(t testing.TB, store eventstore.Store, change ...func(*Options)) *bench {
	t.Helper()
	return newNode(t, store, 0, change...)
}

// newNode is one of several ledgers on one store; number 0 is alone on its own.
func newNode(t testing.TB, store eventstore.Store, node int, change ...func(*Options)) *bench {
	t.Helper()
	b := &bench{t: t, store: store, log: &safeBuffer{}, clock: &clock{now: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)}}
	newID := numbered(node)
	b.ledger = eventstore.NewLedger(b.store, eventstore.LedgerOptions{Now: b.clock.Now, NewID: newID, Shared: node > 0})
	var err error
	if b.views, err = projections.Open(t.Context(), b.store, projections.Options{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := b.views.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	b.stopViews = func() {
		stop()
		<-done
	}
	t.Cleanup(func() {
		b.stopViews()
		if err := b.views.Close(); err != nil {
			t.Error(err)
		}
	})
	if b.secrets, err = NewSecrets([]byte(strings.Repeat("s", SecretSize))); err != nil {
		t.Fatal(err)
	}
	b.sandbox = &sandbox.Gateway{Key: b.secrets.Sandbox, Now: b.clock.Now}
	o := Options{
		Ledger: b.ledger, Views: b.views, Gateways: map[string]gateway.Gateway{"sandbox": b.sandbox},
		DefaultGateway: "sandbox", TestGateways: []string{"sandbox"}, Secrets: b.secrets,
		Logger: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:    b.clock.Now, NewID: newID, Random: &countingReader{}, DevKey: devKey, WaitTimeout: 5 * time.Second,
		PublicURL: "https://ledger.test", WebhookSecrets: func(string, string) string { return webhookSecret },
	}
	for _, f := range change {
		f(&o)
	}
	b.random = o.Random
	b.work(&o)
	if b.server, err = New(o); err != nil {
		t.Fatal(err)
	}
	b.handler = b.server.Handler()
	return b
}

// webhookSecret signs the webhooks of the tests.
const webhookSecret = "whsec_test"

// work gives the bench a worker and an expiry clock, which act when settle says so.
func (b *bench) work(o *Options) {
	policy := projections.LedgerPolicy(b.ledger, b.clock.Now, 1000)
	b.worker = projections.NewWorker(projections.WorkerOptions{
		Views: b.views, Ledger: b.ledger, Gateways: o.Gateways, Policy: policy, ReturnURL: b.secrets.ReturnURL(o.PublicURL), Logger: o.Logger, Now: b.clock.Now,
	})
	b.expiry = projections.NewExpiryClock(projections.ClockOptions{Views: b.views, Ledger: b.ledger, Policy: policy, Logger: o.Logger, Now: b.clock.Now})
	if o.Worker == nil {
		o.Worker = b.worker
	}
}

// settle does all that is due: at gateways, and by time. What a gateway does not
// answer stays due.
func (b *bench) settle() {
	b.t.Helper()
	for did := true; did; {
		head, err := b.ledger.Head(b.t.Context())
		if err == nil {
			err = b.views.Wait(b.t.Context(), head)
		}
		if err != nil {
			b.t.Fatal(err)
		}
		// A minute later, so that what Do might still be busy with is due.
		worked, _, _ := b.worker.Step(b.t.Context(), b.clock.Now().Add(time.Minute))
		expired, _, err := b.expiry.Step(b.t.Context(), b.clock.Now())
		if err != nil {
			b.t.Fatal(err)
		}
		did = worked || expired
	}
}

// countingReader gives bytes that differ and are the same in every run.
type countingReader struct {
	mu sync.Mutex
	n  byte
}

func (r *countingReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range p {
		r.n += 37
		p[i] = r.n
	}
	return len(p), nil
}

// key issues a key of an organization.
func (b *bench) key(organization string, mode domain.Mode, scopes ...string) string {
	b.t.Helper()
	if len(scopes) == 0 {
		scopes = Scopes()
	}
	text, key, err := MintKey(mode, b.random)
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := domain.CreateKey{Mode: mode, Key: domain.APIKey{ID: key.ID, MAC: b.secrets.KeyMAC(key.Secret), Scopes: scopes}}
	_, err = b.ledger.Execute(b.t.Context(), eventstore.Request{
		Stream: domain.OrganizationStream(organization), Actor: "test",
		Prepare: func(context.Context) (domain.Command, error) { return cmd, nil },
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// answer is what a request led to.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request with the demo key; headers are given as "Name: value".
func (b *bench) do(method, target, body string, headers ...string) answer {
	b.t.Helper()
	return b.as(devKey, method, target, body, headers...)
}

// as sends a request with a key. Whatever the test is about, the answer must be one
// that the OpenAPI document describes.
func (b *bench) as(key, method, target, body string, headers ...string) answer {
	b.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, reader)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	a := answer{w.Code, w.Header(), w.Body.String()}
	for _, problem := range papers(b.t).holds(b.t, method, target, body, a) {
		b.t.Errorf("%s %s: %s", method, target, problem)
	}
	return a
}

// want checks a status and says what came instead.
func (b *bench) want(status int, a answer) answer {
	b.t.Helper()
	if a.status != status {
		b.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}
