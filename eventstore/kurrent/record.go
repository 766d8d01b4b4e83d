package kurrent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
)

// ledgerStreams are the beginnings of the names of the ledger's streams, as the
// server is told them. The last is a whole name.
var ledgerStreams = []string{"customer-", "organization-", "subscription-", domain.LedgerStream}

// ours tells whether a stream is one of the ledger's.
func ours(stream string) bool {
	for _, prefix := range ledgerStreams[:len(ledgerStreams)-1] {
		if len(stream) > len(prefix) && strings.HasPrefix(stream, prefix) {
			return true
		}
	}
	return stream == domain.LedgerStream
}

// content is the kind of every record's data: it lets the server's own tools show it.
const content = "application/json"

// recordOf reads a record as the server sends it.
func recordOf(read *streams.ReadResp_ReadEvent) (eventstore.Record, error) {
	e := read.GetEvent()
	position, err := positionOf(read)
	if err != nil {
		return eventstore.Record{}, err
	}
	id, err := idOf(e.GetId())
	if err != nil {
		return eventstore.Record{}, fmt.Errorf("the record at position %d: %w", position, err)
	}
	return eventstore.Record{
		ID: id, Stream: string(e.GetStreamIdentifier().GetStreamName()), Version: e.GetStreamRevision() + 1, Position: position,
		Type: e.GetMetadata()["type"], Data: e.GetData(), Metadata: e.GetCustomMetadata(),
	}, nil
}

// positionOf is the place of a record in $all. Records of old transactions have
// two, of which one would be lost; the ledger never wrote any.
func positionOf(read *streams.ReadResp_ReadEvent) (eventstore.Position, error) {
	e := read.GetEvent()
	commit, prepare := e.GetCommitPosition(), e.GetPreparePosition()
	if commit == 0 || commit == math.MaxUint64 {
		return 0, errors.New("the event store tells no positions of records in streams; it must be of version 23.10 or later")
	}
	if commit != prepare {
		return 0, fmt.Errorf("version %d of stream %s was written in a transaction of another client: it has the two positions %d and %d",
			e.GetStreamRevision()+1, e.GetStreamIdentifier().GetStreamName(), commit, prepare)
	}
	return eventstore.Position(commit), nil
}

func idOf(id *shared.UUID) (uuid.UUID, error) {
	if two := id.GetStructured(); two != nil {
		var u uuid.UUID
		binary.BigEndian.PutUint64(u[:8], uint64(two.GetMostSignificantBits()))
		binary.BigEndian.PutUint64(u[8:], uint64(two.GetLeastSignificantBits()))
		return u, nil
	}
	u, err := uuid.Parse(id.GetString_())
	if err != nil {
		return uuid.Nil, fmt.Errorf("its id is no UUID: %w", err)
	}
	return u, nil
}

// identifier is a stream's name as the server is told it.
func identifier(stream string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(stream)}
}
