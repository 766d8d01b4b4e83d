package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// stalling answers at once, except that everything waits until the stall is over
// once it began.
func stalling(t *testing.T, after int, stall time.Duration) target {
	t.Helper()
	var mu sync.Mutex
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/asked" {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if n++; n == after {
			time.Sleep(stall)
		}
		_, _ = io.WriteString(w, "here")
	}))
	t.Cleanup(s.Close)
	return target{address: strings.TrimPrefix(s.URL, "http://"), status: 200, request: func(int, int) request { return getRequest("/asked", "here") }}
}

// A server that stands still for 300 ms is late for all that was due meanwhile.
// Clients that wait for answers would see one late answer each, and there are fewer of them than late requests.
func TestAnOpenLoopCountsFromWhenARequestWasDue(t *testing.T) {
	const stall = 300 * time.Millisecond
	r, err := openLoop(t.Context(), stalling(t, 20, stall), 2000, time.Second/2)
	if err != nil {
		t.Fatal(err)
	}
	if r.latencies.count() != 1000 {
		t.Fatalf("%d requests were sent, 1000 were due", r.latencies.count())
	}
	late := 0
	for _, bar := range r.latencies.counts.Distribution() {
		if bar.From >= (stall / 3).Microseconds() {
			late += int(bar.Count)
		}
	}
	// 600 requests were due during the stall, 400 of them in its first two thirds.
	if late < 300 {
		t.Errorf("%d requests were late by a third of the stall, want about 400", late)
	}
}

func TestAWrongAnswerEndsALoad(t *testing.T) {
	s := stalling(t, 0, 0)
	for name, wrong := range map[string]func(*target){
		"status": func(s *target) { s.status = 201 },
		"body":   func(s *target) { s.request = func(int, int) request { return getRequest("/asked", "elsewhere") } },
		"times": func(s *target) {
			s.request = func(int, int) request { return request{method: "GET", path: "/asked", want: "e", times: 3} }
		},
		"replay": func(s *target) {
			s.request = func(int, int) request { return request{method: "GET", path: "/asked", replay: true} }
		},
	} {
		other := s
		wrong(&other)
		if _, err := load(t.Context(), other, 2, 20*time.Millisecond); err == nil || !strings.Contains(err.Error(), "/asked") {
			t.Errorf("wrong %s: %v", name, err)
		}
	}
	if _, err := load(t.Context(), s, 2, 20*time.Millisecond); err != nil {
		t.Error(err)
	}
}

func TestARunEndsWhenItHasSettled(t *testing.T) {
	s := stalling(t, 0, 0)
	s.settled = func(ctx context.Context) error {
		select {
		case <-time.After(100 * time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r, err := load(t.Context(), s, 1, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if r.settling < 100*time.Millisecond {
		t.Errorf("settling took %s", r.settling)
	}
	if most := float64(r.latencies.count()) / 0.12; r.perSecond > most {
		t.Errorf("%.0f/s leave out the settling; there were %d in 120 ms", r.perSecond, r.latencies.count())
	}
}
