package memory_test

import (
	"testing"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
	"github.com/pmledger/pmledger/eventstore/storetest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) eventstore.Store { return memory.New() })
}

func TestMemoryKeepsTheContractOfManyAppendsAtOnce(t *testing.T) {
	storetest.RunBulk(t, func(t *testing.T) eventstore.Bulk { return memory.New() })
}
