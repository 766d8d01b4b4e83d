package baseline

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
)

const (
	relayMax = 500                    // events of one batch
	relayGap = 100 * time.Millisecond // between looks for what another process has written
)

// relay takes events out of the outbox and brings them to JetStream. It is woken
// by the writers and looks by itself now and then.
type relay struct {
	pool    *pgxpool.Pool
	bus     *bus
	wake    chan struct{}
	pending atomic.Int64 // events committed and not yet published
}

func newRelay(pool *pgxpool.Pool, b *bus) *relay {
	return &relay{pool: pool, bus: b, wake: make(chan struct{}, 1)}
}

// added tells the relay of events that were committed.
func (r *relay) added(events int) {
	r.pending.Add(int64(events))
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *relay) run(ctx context.Context) error {
	conn, err := r.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	tick := time.NewTicker(relayGap)
	defer tick.Stop()
	for {
		n, err := r.take(ctx, conn.Conn())
		if err != nil {
			return fmt.Errorf("relay: %w", err)
		}
		r.pending.Add(int64(-n))
		if n > 0 {
			continue
		}
		select {
		case <-r.wake:
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const takeEvents = `WITH taken AS (SELECT id FROM outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
	DELETE FROM outbox o USING taken WHERE o.id = taken.id
	RETURNING o.id, o.event_id, o.organization_id, o.type, o.subject, o.created_at, o.body`

// take publishes one batch, in the order of its ids, and deletes it once JetStream
// has it. The deletion alone need not be durable at once: after a crash the batch
// is published again.
func (r *relay) take(ctx context.Context, conn *pgx.Conn) (n int, err error) {
	var b pgx.Batch
	b.Queue("BEGIN")
	b.Queue("SET LOCAL synchronous_commit = off")
	var messages []*nats.Msg
	b.Queue(takeEvents, relayMax).Query(func(rows pgx.Rows) error {
		taken, err := pgx.CollectRows(rows, scanEvent)
		if err != nil {
			return err
		}
		messages = inOrder(taken)
		return nil
	})
	if err = conn.SendBatch(ctx, &b).Close(); err == nil && len(messages) > 0 {
		err = r.bus.publish(ctx, messages)
	}
	if err != nil {
		_, undo := conn.Exec(context.WithoutCancel(ctx), "ROLLBACK")
		return 0, errors.Join(err, undo)
	}
	_, err = conn.Exec(ctx, "COMMIT")
	return len(messages), err
}

// taken is an event with its place in the outbox.
type taken struct {
	id int64
	event
}

func scanEvent(row pgx.CollectableRow) (taken, error) {
	var t taken
	err := row.Scan(&t.id, &t.event.id, &t.organization, &t.kind, &t.subject, &t.at, &t.body)
	return t, err
}
