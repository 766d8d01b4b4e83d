package baseline

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/labstack/echo/v4"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/projections"
)

// handlers answer the requests that are measured, on pmledger's paths.
type handlers struct {
	organization, key string
	pool              *pgxpool.Pool
	gateway           gateway.Gateway
	writer            *writer
	relay             *relay
}

func (h *handlers) handler() http.Handler {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	v1 := e.Group("/v1", h.authorized)
	v1.POST("/customers/:customer/payment-methods", h.attach)
	v1.GET("/customers/:customer/payment-methods", h.list)
	v1.GET("/payment-methods/:id", h.get)
	v1.PATCH("/payment-methods/:id", h.patch)
	e.GET("/lag", func(c echo.Context) error {
		return c.String(http.StatusOK, strconv.FormatInt(h.relay.pending.Load(), 10))
	})
	return e
}

func (h *handlers) authorized(next echo.HandlerFunc) echo.HandlerFunc {
	want := sha256.Sum256([]byte("Bearer " + h.key))
	return func(c echo.Context) error {
		got := sha256.Sum256([]byte(c.Request().Header.Get("Authorization")))
		if subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
			return echo.ErrUnauthorized
		}
		return next(c)
	}
}

type attachBody struct {
	Type       domain.Type       `json:"type"`
	Token      string            `json:"token"`
	ExternalID string            `json:"external_id"`
	Metadata   map[string]string `json:"metadata"`
	Billing    *domain.Address   `json:"billing_address"`
}

func (h *handlers) attach(c echo.Context) error {
	var b attachBody
	d := json.NewDecoder(http.MaxBytesReader(c.Response(), c.Request().Body, 64<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return echo.NewHTTPError(http.StatusBadRequest, err.Error())
	}
	ctx := c.Request().Context()
	customer := c.Param("customer")
	i, err := h.gateway.Lookup(ctx, gateway.Request{Organization: h.organization, Customer: customer, Token: b.Token})
	if err != nil || i.Type != b.Type {
		return echo.NewHTTPError(http.StatusUnprocessableEntity, fmt.Sprintf("the gateway says %s, %v", i.Type, err))
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	m := &domain.Method{
		ID: domain.NewMethodID(id), Organization: h.organization, Customer: customer, ExternalID: b.ExternalID,
		Facts: i.Facts, FactsFrom: "gateway", Provider: "sandbox", ProviderID: b.Token, Status: domain.StatusActive,
		Verification: domain.Verification{Status: domain.Unverified},
		Personal:     domain.Personal{BillingAddress: b.Billing, Metadata: b.Metadata, Holder: i.Holder, Email: i.Email},
		CreatedAt:    now, UpdatedAt: now, Version: 1,
	}
	if i.Card != nil {
		m.ExpiresAt = domain.CardExpiry(i.Card.ExpYear, i.Card.ExpMonth, time.UTC)
	}
	a := &attach{method: m, key: orNil(c.Request().Header.Get("Idempotency-Key"))}
	if a.key != nil {
		text, err := json.Marshal(b)
		if err != nil {
			return err
		}
		hash := sha256.Sum256(text)
		a.hash = hash[:]
	}
	return h.answer(c, h.writer.attach(ctx, a))
}

func (h *handlers) answer(c echo.Context, a attached) error {
	switch {
	case errors.Is(a.err, errKeyReused):
		return echo.NewHTTPError(http.StatusUnprocessableEntity, a.err.Error())
	case a.err != nil:
		return a.err
	case a.replay:
		c.Response().Header().Set("Idempotency-Replayed", "true")
	case a.existing:
		return show(c, http.StatusOK, a.method)
	}
	return show(c, http.StatusCreated, a.method)
}

func (h *handlers) get(c echo.Context) error {
	rows, err := h.pool.Query(c.Request().Context(), "SELECT "+columns+" FROM payment_methods m WHERE m.id = $1 AND m.organization_id = $2", c.Param("id"), h.organization)
	if err != nil {
		return err
	}
	m, err := pgx.CollectExactlyOneRow(rows, scanMethod)
	if errors.Is(err, pgx.ErrNoRows) {
		return echo.ErrNotFound
	}
	if err != nil {
		return err
	}
	return show(c, http.StatusOK, m)
}

const listMethods = "SELECT " + columns + ` FROM payment_methods m WHERE m.organization_id = $1 AND m.customer_id = $2
	AND m.status <> 'detached' AND ($3 = '' OR m.type = $3) AND ($4 = '' OR m.status = $4) AND ($5 = '' OR m.id < $5)
	ORDER BY m.id DESC LIMIT $6`

func (h *handlers) list(c echo.Context) error {
	limit := 20
	if text := c.QueryParam("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 100 {
			return echo.ErrUnprocessableEntity
		}
		limit = n
	}
	rows, err := h.pool.Query(c.Request().Context(), listMethods, h.organization, c.Param("customer"), c.QueryParam("type"), c.QueryParam("status"), c.QueryParam("cursor"), limit+1)
	if err != nil {
		return err
	}
	methods, err := pgx.CollectRows(rows, scanMethod)
	if err != nil {
		return err
	}
	next := "null"
	more := len(methods) > limit
	if more {
		methods = methods[:limit]
		next = strconv.Quote(string(methods[limit-1].ID))
	}
	body := append(make([]byte, 0, 1280*limit), `{"object":"list","data":[`...)
	for i, m := range methods {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, projections.RenderMethod(m)...)
	}
	body = fmt.Appendf(body, `],"has_more":%t,"next_cursor":%s}`, more, next)
	return c.JSONBlob(http.StatusOK, body)
}

func show(c echo.Context, status int, m *domain.Method) error {
	c.Response().Header().Set("ETag", fmt.Sprintf("%q", strconv.FormatUint(m.Version, 10)))
	return c.JSONBlob(status, projections.RenderMethod(m))
}
