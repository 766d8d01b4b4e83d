// Package baseline is B: what a good engineer builds instead of pmledger. An Echo
// server keeps payment methods in a PostgreSQL table, with the same fields,
// constraints and indexes, writes the events into an outbox table in the same
// transaction, and a relay brings them to JetStream. It has no history, no hashes
// and no order of events between transactions; where it does less than pmledger,
// that is in its favour.
//
// It asks the same gateway, renders the same bytes, and listens on the same paths,
// so that one load generator serves both.
package baseline

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pmledger/pmledger/gateway/sandbox"
)

//go:embed schema.sql
var schema string

// connections is the size of the pool. Measured on 2 cores with 64 clients that
// read: 16 answer a third more than 8, and twice as many as 4.
const connections = 16

// Options say what a baseline runs on.
type Options struct {
	Postgres     string // connection string of an empty database
	Dir          string // of the NATS server
	Organization string
	Key          string // that callers show as bearer token
}

// Serve makes the tables, prints the addresses of HTTP and NATS on one line and
// runs until ctx ends.
func Serve(ctx context.Context, o Options, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pool, err := connect(ctx, o.Postgres)
	if err != nil {
		return err
	}
	defer pool.Close()
	bus, err := openBus(ctx, o.Dir)
	if err != nil {
		return err
	}
	defer bus.close()

	relay := newRelay(pool, bus)
	h := &handlers{organization: o.Organization, key: o.Key, pool: pool, gateway: &sandbox.Gateway{}, relay: relay, writer: newWriter(pool, relay)}
	const parts = 3
	ended := make(chan error, parts)
	go func() { ended <- relay.run(ctx) }()
	go func() { ended <- h.writer.run(ctx) }()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{Handler: h.handler(), ReadHeaderTimeout: 5 * time.Second}
	go func() { ended <- web.Serve(l) }()
	if _, err := fmt.Fprintln(out, l.Addr(), bus.url()); err != nil {
		return err
	}
	err = <-ended
	cancel()
	_ = web.Close() // its requests have nobody to answer them
	for range parts - 1 {
		if other := <-ended; err == nil || errors.Is(err, context.Canceled) {
			err = other
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// connect opens the pool and makes the tables. Statements are prepared once per
// connection. The planner is kept from scanning tables: it plans while they are
// still empty and would keep those plans.
func connect(ctx context.Context, address string) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	c.MaxConns, c.MinConns = connections, connections
	for _, name := range []string{"enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_bitmapscan"} {
		c.ConnConfig.RuntimeParams[name] = "off"
	}
	c.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	if _, err := pool.Exec(ctx, schema, pgx.QueryExecModeSimpleProtocol); err != nil {
		pool.Close()
		return nil, fmt.Errorf("making the tables: %w", err)
	}
	return pool, nil
}
