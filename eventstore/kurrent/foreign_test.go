package kurrent_test

import (
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
)

// rawClient is the server's own client.
func rawClient(t testing.TB, connectionString string) *esdb.Client {
	t.Helper()
	conf, err := esdb.ParseConnectionString(connectionString)
	if err != nil {
		t.Fatal(err)
	}
	conf.Logger = nil
	c, err := esdb.NewClient(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// writeForeign writes a record to each stream with the server's own client.
func writeForeign(t *testing.T, server *kurrenttest.Server, streams ...string) {
	t.Helper()
	c := rawClient(t, server.ConnectionString())
	for _, name := range streams {
		_, err := c.AppendToStream(within(t), name, esdb.AppendToStreamOptions{}, esdb.EventData{
			EventID: uuid.New(), EventType: "other", ContentType: esdb.ContentTypeJson, Data: []byte(`{}`),
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// What other clients do to a stream of the ledger is an error for whoever reads it,
// not an empty stream.
func TestADeletedStreamIsAnError(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{})
	s := open(t, server.ConnectionString(), short)
	mustAppend(t, s, stream, 0, records(2))
	if _, err := rawClient(t, server.ConnectionString()).TombstoneStream(within(t), stream, esdb.TombstoneStreamOptions{}); err != nil {
		t.Fatal(err)
	}
	for r, err := range s.Stream(within(t), stream, 1) {
		if err == nil {
			t.Fatalf("version %d is read", r.Version)
		}
	}
	if _, err := s.Append(within(t), stream, 2, records(1)); err == nil {
		t.Error("it was appended to")
	}
}
