package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/api"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
	"github.com/pmledger/pmledger/eventstore/torture"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/sandbox"
	"github.com/pmledger/pmledger/projections"
)

const rawKey = "pml_test_a_key_for_raw_sockets_alone"

// TestRawSocketsHideNoRequest writes requests that two readers could read
// differently to a socket of the server: nobody gets an answer to a request that
// they did not write as one, nothing that was hidden has an effect, and whoever
// comes next is answered well.
func TestRawSocketsHideNoRequest(t *testing.T) {
	s := startRaw(t)
	slow := torture.Size(false, false, true)
	var mu sync.Mutex
	var cases, second, effects, failures, unwell int
	turns := make(chan struct{}, 4*runtime.GOMAXPROCS(0))
	var done sync.WaitGroup
	for i, c := range rawCases() {
		if c.slow && !slow {
			continue
		}
		done.Go(func() {
			if !c.slow {
				turns <- struct{}{}
				defer func() { <-turns }()
			}
			got := s.try(t, c, hiddenName(i+1))
			mu.Lock()
			defer mu.Unlock()
			cases++
			for _, v := range []struct {
				n    *int
				is   bool
				what string
			}{
				{&second, got.responses > max(c.most, 1), "has more responses than requests"}, {&effects, got.effect && !c.effect, "has an effect that was hidden"},
				{&failures, got.failed, "fails inside, or stays open"}, {&unwell, !got.well, "leaves others without an answer"},
			} {
				if v.is {
					*v.n++
					t.Errorf("%q %s: %s", c.name, v.what, strings.Join(got.statuses, ", "))
				}
			}
		})
	}
	done.Wait()
	torture.Add(t, torture.Report{
		Campaign: "raw sockets", Counts: []torture.Figure{torture.Count(cases, "cases")},
		Violations: []torture.Figure{
			torture.Count(second, "second responses"), torture.Count(effects, "hidden effects"), torture.Count(failures, "failures inside"), torture.Count(unwell, "others not answered"),
		},
	})
}

// rawServer is the API on a socket, as the program serves it.
type rawServer struct {
	address string
	store   eventstore.Store
}

func startRaw(t *testing.T) *rawServer {
	t.Helper()
	s := &rawServer{store: memory.New()}
	ledger := eventstore.NewLedger(s.store, eventstore.LedgerOptions{Now: time.Now, NewID: uuid.New})
	views, err := projections.Open(t.Context(), s.store, projections.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := api.NewSecrets([]byte(strings.Repeat("s", api.SecretSize)))
	if err != nil {
		t.Fatal(err)
	}
	server, err := api.New(api.Options{
		Ledger: ledger, Views: views, Gateways: map[string]gateway.Gateway{"sandbox": &sandbox.Gateway{Key: secrets.Sandbox}}, DefaultGateway: "sandbox",
		Secrets: secrets, DevKey: rawKey, RawCards: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := views.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() {
		c := Config{DrainTimeout: patience, WaitTimeout: time.Second}
		if err := serveHTTP(ctx, l, server.Handler(), c, slog.New(slog.DiscardHandler)); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		running.Wait()
		if err := views.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// seen is what became of a case.
type seen struct {
	responses            int
	statuses             []string
	failed, effect, well bool
}

func (s *rawServer) try(t *testing.T, c rawCase, name string) (got seen) {
	got.statuses, got.failed = s.exchange(t, c, strings.ReplaceAll(c.text, "{hidden}", name))
	got.responses = len(got.statuses)
	for range s.store.Stream(t.Context(), "customer-demo+"+name, 1) {
		got.effect = true
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.address+"/v1/payment-methods?limit=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+rawKey)
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err == nil {
		got.well = answer.StatusCode == http.StatusOK && answer.Header.Get("Content-Type") == "application/json"
		answer.Body.Close()
	}
	return got
}

// exchange writes a case and reads every response. After the first one it writes
// no more, so that the server closes the connection when it has answered all that
// it took for a request.
func (s *rawServer) exchange(t *testing.T, c rawCase, text string) (statuses []string, failed bool) {
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Error(err)
		return nil, true
	}
	defer conn.Close()
	limit := patience
	if c.slow {
		limit += requestTimeout
	}
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Error(err)
	}
	written := make(chan struct{})
	go func() { // the server may answer before it has read all, and stop reading
		defer close(written)
		_, _ = io.WriteString(conn, text)
		if c.close {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	method, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	in, open := bufio.NewReader(conn), true
	for {
		if open && len(statuses) > 0 {
			<-written
			if len(statuses) < c.most { // there may be another one, or not
				_ = conn.SetReadDeadline(time.Now().Add(rawPause))
				_, err = in.Peek(1)
				_ = conn.SetReadDeadline(time.Now().Add(limit))
			}
			if open = len(statuses) < c.most && err == nil; !open {
				_ = conn.(*net.TCPConn).CloseWrite()
			}
		}
		answer, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			timeout := net.Error(nil)
			return statuses, failed || errors.As(err, &timeout) && timeout.Timeout()
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		if answer.StatusCode == http.StatusContinue {
			continue
		}
		statuses = append(statuses, answer.Status)
		failed = failed || answer.StatusCode == http.StatusInternalServerError
	}
}

// rawPause is how long a case with several requests waits for one more response.
const rawPause = 200 * time.Millisecond
