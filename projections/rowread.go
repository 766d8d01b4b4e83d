package projections

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pmledger/pmledger/domain"
)

// shown is the API's object as it is read back.
type shown struct {
	ID           domain.MethodID `json:"id"`
	Organization string          `json:"organization_id"`
	Customer     string          `json:"customer_id"`
	ExternalID   string          `json:"external_id"`
	domain.Facts
	Status         domain.Status       `json:"status"`
	StatusReason   string              `json:"status_reason"`
	IsDefault      bool                `json:"is_default"`
	Verification   domain.Verification `json:"verification"`
	BankAccount    *shownBankAccount   `json:"bank_account"`
	Wallet         *shownWallet        `json:"wallet"`
	ExpiresAt      time.Time           `json:"expires_at"`
	Expiring       bool                `json:"expiring"`
	BillingAddress domain.Address      `json:"billing_address"`
	Metadata       map[string]string   `json:"metadata"`
	Provider       string              `json:"provider"`
	ProviderID     string              `json:"provider_id"`
	LastReplacedAt time.Time           `json:"last_replaced_at"`
	InUseBy        []string            `json:"in_use_by"`
	CreatedAt      time.Time           `json:"created_at"`
	UpdatedAt      time.Time           `json:"updated_at"`
	DetachedAt     time.Time           `json:"detached_at"`
	Version        uint64              `json:"version"`
}

type shownBankAccount struct {
	domain.BankAccount
	Holder string `json:"holder"`
}

type shownWallet struct {
	domain.Wallet
	Email string `json:"email"`
}

// method reads the whole method back, so that it can evolve.
func (r row) method() (*domain.Method, error) {
	var s shown
	if err := json.Unmarshal(r.json, &s); err != nil {
		return nil, fmt.Errorf("a stored method: %w", err)
	}
	p, err := decodePrivate(r.private)
	if err != nil {
		return nil, fmt.Errorf("a stored method: %w", err)
	}
	m := &domain.Method{
		ID: s.ID, Organization: s.Organization, Customer: s.Customer, ExternalID: s.ExternalID, Facts: s.Facts,
		FactsFrom: p.FactsFrom, Provider: s.Provider, ProviderID: s.ProviderID, Status: s.Status, StatusReason: s.StatusReason,
		StatusBefore: p.StatusBefore, IsDefault: s.IsDefault, Verification: s.Verification, ExpiresAt: s.ExpiresAt,
		Expiring: s.Expiring, WindowsServed: p.WindowsServed, LastReplacedAt: s.LastReplacedAt, InUseBy: s.InUseBy,
		CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, DetachedAt: s.DetachedAt, Version: s.Version,
		Personal:    domain.Personal{Metadata: s.Metadata, Holder: p.Holder, Email: p.Email},
		Replacement: p.Replacement, NextAction: p.NextAction, SetupIntent: p.SetupIntent, MandateNoticed: p.MandateNoticed,
		GatewayDetach: p.GatewayDetach, LeftOpen: p.LeftOpen,
	}
	if hidden := p.Verification; hidden != nil {
		v := m.Verification
		m.Verification = *hidden
		m.Verification.Status, m.Verification.Kind, m.Verification.LastError = v.Status, v.Kind, v.LastError
		m.Verification.VerifiedAt, m.Verification.ExpiresAt = v.VerifiedAt, v.ExpiresAt
	}
	// What is empty is nil, as in a method that was never stored.
	if len(m.Personal.Metadata) == 0 {
		m.Personal.Metadata = nil
	}
	if len(m.InUseBy) == 0 {
		m.InUseBy = nil
	}
	if m.Card != nil && len(m.Card.AdditionalBrands) == 0 {
		m.Card.AdditionalBrands = nil
	}
	if s.BillingAddress != (domain.Address{}) {
		m.Personal.BillingAddress = &s.BillingAddress
	}
	if s.BankAccount != nil {
		m.BankAccount, m.Personal.Holder = &s.BankAccount.BankAccount, s.BankAccount.Holder
	}
	if s.Wallet != nil {
		m.Wallet, m.Personal.Email = &s.Wallet.Wallet, s.Wallet.Email
	}
	return m, nil
}
