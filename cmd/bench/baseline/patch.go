package baseline

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/pmledger/pmledger/domain"
)

const (
	// Changes of one customer's default follow each other.
	lockCustomer = `SELECT pg_advisory_xact_lock(hashtextextended(organization_id || '+' || customer_id, 0))
		FROM payment_methods WHERE organization_id = $1 AND id = $2`
	dropDefault = `UPDATE payment_methods SET is_default = false, version = version + 1, updated_at = $3
		WHERE organization_id = $1 AND is_default AND id <> $2
		AND customer_id = (SELECT customer_id FROM payment_methods WHERE id = $2 AND organization_id = $1)`
	makeDefault = `UPDATE payment_methods m SET is_default = true, version = version + 1, updated_at = $3
		WHERE m.organization_id = $1 AND m.id = $2 AND m.status <> 'detached' RETURNING ` + columns
)

// patch makes a method the default; nothing else is measured.
func (h *handlers) patch(c echo.Context) error {
	var b struct {
		IsDefault bool `json:"is_default"`
	}
	if err := json.NewDecoder(c.Request().Body).Decode(&b); err != nil || !b.IsDefault {
		return echo.ErrUnprocessableEntity
	}
	var m *domain.Method
	var err error
	for range attempts {
		m, err = h.setDefault(c.Request().Context(), c.Param("id"))
		if !lostRace(err) {
			break
		}
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return echo.ErrNotFound
	}
	if err != nil {
		return err
	}
	return show(c, http.StatusOK, m)
}

// setDefault is one transaction in two round trips.
func (h *handlers) setDefault(ctx context.Context, id string) (m *domain.Method, err error) {
	conn, err := h.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	now := time.Now().UTC().Truncate(time.Millisecond)
	var change pgx.Batch
	change.Queue("BEGIN")
	change.Queue(lockCustomer, h.organization, id)
	change.Queue(dropDefault, h.organization, id, now)
	change.Queue(makeDefault, h.organization, id, now).Query(func(rows pgx.Rows) error {
		m, err = pgx.CollectExactlyOneRow(rows, scanMethod)
		return err
	})
	if err = conn.SendBatch(ctx, &change).Close(); err == nil {
		err = h.tellDefault(ctx, conn.Conn(), m, now)
	}
	if err != nil {
		_, undo := conn.Exec(context.WithoutCancel(ctx), "ROLLBACK")
		return nil, errors.Join(err, undo)
	}
	h.relay.added(1)
	return m, nil
}

func (h *handlers) tellDefault(ctx context.Context, conn *pgx.Conn, m *domain.Method, now time.Time) error {
	e, err := newEvent(defaultEvent, m, now)
	if err != nil {
		return err
	}
	var events eventRows
	events.add(e)
	var b pgx.Batch
	b.Queue(insertEvents, events.arguments()...)
	b.Queue("COMMIT")
	return conn.SendBatch(ctx, &b).Close()
}
