package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/pmledger/pmledger/eventstore/kurrent"
	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
)

// replicas are servers on one store and one NATS, each with a folder of its own.
type replicas struct {
	t      *testing.T
	store  *kurrenttest.Server
	args   []string
	dirs   []string
	slots  []atomic.Pointer[instance] // nil while one is down
	client *http.Client
	again  atomic.Int64 // requests of persist that were made once more
}

// newReplicas starts a store of one node, a NATS server and n folders for servers.
func newReplicas(t *testing.T, n int) *replicas {
	t.Helper()
	return newReplicasOn(t, n, kurrenttest.Options{})
}

func newReplicasOn(t *testing.T, n int, o kurrenttest.Options) *replicas {
	t.Helper()
	bus := runNATS(t, &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	r := &replicas{t: t, store: kurrenttest.Start(t, o), slots: make([]atomic.Pointer[instance], n)}
	r.args = []string{"--store", r.store.ConnectionString(), "--secret-file", newSecretFile(t), "--nats-url", bus.ClientURL()}
	for range n {
		r.dirs = append(r.dirs, t.TempDir())
	}
	r.client = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(r.client.CloseIdleConnections)
	return r
}

func newSecretFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "secret")
	if _, err := loadSecret(path, true); err != nil {
		t.Fatal(err)
	}
	return path
}

// start starts a server and waits until it is ready.
func (r *replicas) start(i int) *instance {
	r.t.Helper()
	s := serve(r.t, r.dirs[i], r.args...)
	r.slots[i].Store(s)
	return s
}

// startAll starts all servers at the same moment.
func (r *replicas) startAll() []*instance {
	r.t.Helper()
	var all []*instance
	for _, dir := range r.dirs {
		all = append(all, launch(r.t, dir, append([]string{"--dev"}, r.args...)...))
	}
	for i, s := range all {
		s.await("the server has started", func() bool {
			select {
			case <-s.ready:
				return s.status("/readyz") == http.StatusOK
			case <-s.ended:
				r.t.Fatalf("server %d ended at its start:\n%s", i, s.log())
				return false
			default:
				return false
			}
		})
		r.slots[i].Store(s)
	}
	return all
}

// kill ends a server with SIGKILL.
func (r *replicas) kill(i int) {
	s := r.slots[i].Swap(nil)
	s.kill()
}

// any is one of the servers that are up, another one than not if there is one.
func (r *replicas) any(not *instance) *instance {
	for {
		var up []*instance
		for i := range r.slots {
			if s := r.slots[i].Load(); s != nil && s != not {
				up = append(up, s)
			}
		}
		switch {
		case len(up) > 0:
			return up[rand.IntN(len(up))]
		case not != nil:
			not = nil
		default:
			time.Sleep(time.Millisecond)
		}
	}
}

// persist makes a request of any server, and of another one whenever one breaks off
// or says that it cannot answer now. A write needs an Idempotency-Key.
func (r *replicas) persist(not *instance, method, path, body string, header ...string) (answer, *instance, error) {
	var last error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		s := r.any(not)
		a, err := s.try(r.client, method, path, body, header...)
		switch {
		case err == nil && a.status < http.StatusInternalServerError && !isConflict(a):
			return a, s, nil
		case err == nil:
			last = fmt.Errorf("%s %s: %d: %s", method, path, a.status, a.body)
		default:
			last = err
		}
		r.again.Add(1)
		time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
	}
	return answer{}, nil, last
}

var conflictForm = regexp.MustCompile(`"code":"conflict"`)

func isConflict(a answer) bool {
	return a.status == http.StatusConflict && conflictForm.Match(a.body)
}

// open opens the store as a server does.
func (r *replicas) open() *kurrent.Store {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	store, err := kurrent.Open(ctx, r.store.ConnectionString(), kurrent.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { store.Close() })
	return store
}

// gauge reads a value of a server's metrics.
func (s *instance) gauge(name string) float64 {
	s.t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(fetch(s.t, s.admin))
	if m == nil {
		s.t.Fatalf("there is no metric %s", name)
	}
	value, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return value
}

// walk reads a list to its end, page by page, and returns the pages.
func (s *instance) walk(path string) (pages []string) {
	s.t.Helper()
	for next := ""; ; {
		a := s.call(http.StatusOK, http.MethodGet, path+next, "", "Ledger-Min-Position", "head")
		pages = append(pages, string(a.body))
		cursor, more := a.json(s.t)["next_cursor"].(string)
		if !more {
			return pages
		}
		next = "&cursor=" + cursor
	}
}
