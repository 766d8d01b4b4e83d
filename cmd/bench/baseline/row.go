package baseline

import (
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pmledger/pmledger/domain"
)

// columns of a method, in the order in which scan reads them.
const columns = `m.id, m.organization_id, m.customer_id, coalesce(m.external_id, ''), m.status, m.is_default,
	m.provider, m.provider_id, m.details, m.expires_at, m.version, m.created_at, m.updated_at`

// details are what no constraint and no index needs.
type details struct {
	Facts        domain.Facts        `json:"facts"`
	Verification domain.Verification `json:"verification"`
	Personal     domain.Personal     `json:"personal"`
}

// scan reads the columns into a method, and what is selected after them into more.
func scan(rows pgx.CollectableRow, more ...any) (*domain.Method, error) {
	var m domain.Method
	var text []byte
	var expires *time.Time
	into := append([]any{&m.ID, &m.Organization, &m.Customer, &m.ExternalID, &m.Status, &m.IsDefault,
		&m.Provider, &m.ProviderID, &text, &expires, &m.Version, &m.CreatedAt, &m.UpdatedAt}, more...)
	if err := rows.Scan(into...); err != nil {
		return nil, err
	}
	var d details
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	m.Facts, m.Verification, m.Personal = d.Facts, d.Verification, d.Personal
	if expires != nil {
		m.ExpiresAt = *expires
	}
	return &m, nil
}

func scanMethod(row pgx.CollectableRow) (*domain.Method, error) { return scan(row) }
