package kurrent_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/kurrent"
	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
)

// Several processes that start at once on an empty log agree on what it is called;
// one with another secret is refused.
func TestProcessesAgreeOnTheLogsIdentity(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{})
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	found := make([]eventstore.Identity, 6)
	var g sync.WaitGroup
	for i := range found {
		s := open(t, server.ConnectionString(), kurrent.Options{})
		g.Go(func() {
			var err error
			if found[i], err = eventstore.Identify(within(t), s, "fingerprint", uuid.New(), now); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	for _, identity := range found {
		if identity != found[0] || identity.LedgerID == "" {
			t.Errorf("the log is %v, and %v", found[0], identity)
		}
	}
	s := open(t, server.ConnectionString(), kurrent.Options{})
	if _, err := eventstore.Identify(within(t), s, "another", uuid.New(), now); err == nil || !strings.Contains(err.Error(), "another secret") {
		t.Errorf("with another secret: error %v", err)
	}
	if n := len(server.Records("ledger")); n != 1 {
		t.Errorf("%d identity records", n)
	}
}
