package baseline

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/projections"
)

// The events of the two writes that are measured.
const (
	attachedEvent = "customer.payment_method_attached"
	defaultEvent  = "customer.default_payment_method_changed"
)

// event is a row of the outbox.
type event struct {
	id, organization, kind, subject string
	at                              time.Time
	body                            string
}

// eventBody is an event as consumers read it, like pmledger's.
type eventBody struct {
	ID           string          `json:"id"`
	Object       string          `json:"object"`
	Type         string          `json:"type"`
	CreatedAt    time.Time       `json:"created_at"`
	Organization string          `json:"organization_id"`
	Customer     string          `json:"customer_id"`
	Method       domain.MethodID `json:"payment_method_id"`
	Version      uint64          `json:"version"`
	Data         struct {
		Object   json.RawMessage   `json:"object"`
		Previous map[string]string `json:"previous_attributes"`
	} `json:"data"`
}

func newEvent(kind string, m *domain.Method, at time.Time) (event, error) {
	u, err := uuid.NewV7()
	if err != nil {
		return event{}, err
	}
	b := eventBody{
		ID: "evt_" + strings.ReplaceAll(u.String(), "-", ""), Object: "event", Type: kind, CreatedAt: at,
		Organization: m.Organization, Customer: m.Customer, Method: m.ID, Version: m.Version,
	}
	b.Data.Object, b.Data.Previous = projections.RenderMethod(m), map[string]string{}
	body, err := json.Marshal(b)
	return event{id: b.ID, organization: b.Organization, kind: kind, subject: string(m.ID), at: at, body: string(body)}, err
}
