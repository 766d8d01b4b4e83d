package kurrent_test

import (
	"testing"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/kurrent"
	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
)

// What others write does not move the head, however much it is; and it is looked
// through once.
func TestForeignRecordsDoNotMoveTheHead(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{})
	s := open(t, server.ConnectionString(), kurrent.Options{})
	server.Foreign(500)
	for _, foreign := range []int{0, 1, 40, 200, 5000} {
		fresh := open(t, server.ConnectionString(), kurrent.Options{})
		head := mustHead(t, s)
		server.Foreign(foreign)
		if h := mustHead(t, s); h != head {
			t.Errorf("%d foreign records moved the head from %d to %d", foreign, head, h)
		}
		if h := mustHead(t, fresh); h != head {
			t.Errorf("%d foreign records: the head is %d, to somebody new %d", foreign, head, h)
		}
		reads := func() int { return server.Counts(kurrenttest.ReadAll).Calls + server.Counts(kurrenttest.Search).Calls }
		before := reads()
		for range 5 {
			mustHead(t, s)
		}
		if n := reads() - before; n != 5 {
			t.Errorf("%d foreign records: %d reads for 5 heads", foreign, n)
		}
		mustAppend(t, s, "organization-o", uint64(mustVersion(t, s, "organization-o")), records(2))
	}
}

func mustHead(t *testing.T, s *kurrent.Store) eventstore.Position {
	t.Helper()
	head, err := s.Head(within(t))
	if err != nil {
		t.Fatalf("head: %v", err)
	}
	return head
}

func mustVersion(t *testing.T, s *kurrent.Store, stream string) int {
	t.Helper()
	return len(mustRead(t, s, stream))
}

// Streams whose names only look like the ledger's are somebody else's.
func TestAlikeStreamsAreForeign(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{})
	s := open(t, server.ConnectionString(), kurrent.Options{})
	p := mustAppend(t, s, "ledger", 0, records(1))
	writeForeign(t, server, "ledger-of-others", "ledgers", "customers-1", "$customer-1", "customer")
	if h := mustHead(t, s); h != p {
		t.Errorf("the head is %d, want %d", h, p)
	}
	f := follow(t, s, 0)
	if r := f.next(t); r.Stream != "ledger" {
		t.Errorf("followed %s", r.Stream)
	}
	mustAppend(t, s, "subscription-a", 0, records(1))
	if r := f.next(t); r.Stream != "subscription-a" {
		t.Errorf("followed %s", r.Stream)
	}
}
