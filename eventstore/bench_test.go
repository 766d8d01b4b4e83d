package eventstore_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
)

// BenchmarkExecuteAttach is the processor time of an attach between the request
// and the store: fold, decide, encode, hash.
func BenchmarkExecuteAttach(b *testing.B) {
	l, _ := newLedger(memory.New())
	cmd := attach(1)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		_, err := l.Execute(b.Context(), eventstore.Request{
			Stream: fmt.Sprintf("customer-acme+cus_%d", n), CommandID: "k", RequestMAC: "m", Actor: "bench",
			Prepare: func(context.Context) (domain.Command, error) { return cmd, nil },
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
