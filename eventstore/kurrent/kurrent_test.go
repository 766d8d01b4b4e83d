package kurrent_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/kurrent"
	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
	"github.com/pmledger/pmledger/eventstore/storetest"
)

// realServer names the variable with the connection string of a real server. The
// contract is then kept on that one too; the server must be there for nobody else.
const realServer = "PMLEDGER_TEST_KURRENT"

// stream is a stream of the ledger.
const stream = "customer-acme+cus_1"

// open opens the log and closes it with the test.
func open(t testing.TB, connectionString string, o kurrent.Options) *kurrent.Store {
	t.Helper()
	s, err := kurrent.Open(within(t), connectionString, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// within is a context that ends when something that must happen does not.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// records returns n records with contents of their own.
func records(n int) []eventstore.NewRecord {
	out := make([]eventstore.NewRecord, n)
	for i := range out {
		id := uuid.New()
		out[i] = eventstore.NewRecord{
			ID: id, Type: "payment_method.attached",
			Data:     fmt.Appendf(nil, `{"id":%q}`, id),
			Metadata: []byte(`{"command_id":"c","time":"2026-01-02T03:04:05.678Z"}`),
		}
	}
	return out
}

func mustAppend(t testing.TB, s *kurrent.Store, stream string, version uint64, r []eventstore.NewRecord) eventstore.Position {
	t.Helper()
	p, err := s.Append(within(t), stream, version, r)
	if err != nil {
		t.Fatalf("append to %s at %d: %v", stream, version, err)
	}
	return p
}

// mustRead reads a stream whole.
func mustRead(t testing.TB, s *kurrent.Store, stream string) []eventstore.Record {
	t.Helper()
	var all []eventstore.Record
	for r, err := range s.Stream(within(t), stream, 1) {
		if err != nil {
			t.Fatalf("stream %s: %v", stream, err)
		}
		all = append(all, r)
	}
	return all
}

func TestKurrentKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) eventstore.Store {
		return open(t, kurrenttest.Start(t, kurrenttest.Options{}).ConnectionString(), kurrent.Options{})
	})
}

// Three nodes share the log with somebody who writes into it all the time. The
// nodes that follow are behind.
func TestKurrentKeepsTheContractOnASharedCluster(t *testing.T) {
	storetest.Run(t, func(t *testing.T) eventstore.Store {
		server := kurrenttest.Start(t, kurrenttest.Options{Nodes: 3, SystemEvery: 1})
		server.Node(1).Lag(40)
		server.Node(2).Lag(3)
		stop := make(chan struct{})
		var writing sync.WaitGroup
		writing.Go(func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
					server.Foreign(3)
				}
			}
		})
		t.Cleanup(func() {
			close(stop)
			writing.Wait()
		})
		return open(t, server.ConnectionString(), kurrent.Options{})
	})
}

func TestKurrentKeepsTheContractOnARealServer(t *testing.T) {
	at := os.Getenv(realServer)
	if at == "" {
		t.Skip(realServer + " names no server")
	}
	storetest.Run(t, func(t *testing.T) eventstore.Store { return open(t, at, kurrent.Options{}) })
}

func TestKurrentFindsEverythingAgain(t *testing.T) {
	servers := map[string]*kurrenttest.Server{}
	storetest.RunReopen(t, func(t *testing.T, dir string) eventstore.Store {
		server := servers[dir]
		if server == nil {
			server = kurrenttest.Start(t, kurrenttest.Options{})
			servers[dir] = server
		} else {
			server.Stop()
			if err := server.Restart(); err != nil {
				t.Fatal(err)
			}
		}
		return open(t, server.ConnectionString(), kurrent.Options{})
	})
}
