package projections

import (
	"github.com/pmledger/pmledger/domain"
)

// RenderMethod writes a method as the API shows it, the same in every answer: to a
// write, to a read by id, in a list. Members stand in a fixed order, and what does
// not apply is an explicit null.
func RenderMethod(m *domain.Method) []byte {
	return appendMethod(make([]byte, 0, 1280), m, toOwner)
}

// audience is who reads an object. What concerns a person is for its owner, who
// asks the API; in events it is null.
type audience bool

const (
	toOwner    audience = true
	toConsumer audience = false
)

func appendMethod(b []byte, m *domain.Method, to audience) []byte {
	o := begin(b)
	o.text("id", string(m.ID))
	o.text("object", "payment_method")
	o.text("organization_id", m.Organization)
	o.textOrNull("customer_id", m.Customer)
	writeMembers(&o, m, to)
	o.number("version", m.Version)
	return o.end()
}

// writeMembers writes the members that a method's life can change, in their order.
func writeMembers(o *object, m *domain.Method, to audience) {
	o.textOrNull("external_id", m.ExternalID)
	o.text("type", string(m.Type))
	o.textOrNull("method", m.Method)
	o.text("status", string(m.Status))
	o.textOrNull("status_reason", m.StatusReason)
	o.boolean("is_default", m.IsDefault)
	o.boolean("verified", m.Verification.Status == domain.Verified)
	writeVerification(o, m)
	writeCard(o, m.Card)
	writeBankAccount(o, m, to)
	writeWallet(o, m, to)
	writeMandate(o, m.Mandate)
	o.textOrNull("fingerprint", m.Fingerprint)
	label, personal := m.Label()
	if to == toConsumer {
		label = shownLabel(label, personal)
	}
	o.textOrNull("label", label)
	o.textOrNull("country", m.Country)
	o.textOrNull("currency", m.Currency)
	o.time("expires_at", m.ExpiresAt)
	o.boolean("expiring", m.Expiring)
	writePersonal(o, m.Personal, to)
	o.text("provider", m.Provider)
	o.text("provider_id", m.ProviderID)
	writeReplacement(o, m.Replacement)
	o.time("last_replaced_at", m.LastReplacedAt)
	writeNextAction(o, m.NextAction, to)
	o.texts("in_use_by", m.InUseBy)
	o.time("created_at", m.CreatedAt)
	o.time("updated_at", m.UpdatedAt)
	o.time("detached_at", m.DetachedAt)
}

func writeVerification(o *object, m *domain.Method) {
	if !o.key("verification") {
		return
	}
	v := m.Verification
	inner := begin(o.b)
	inner.text("status", string(v.Status))
	inner.textOrNull("kind", string(v.Kind))
	inner.time("verified_at", v.VerifiedAt)
	if left, ok := attemptsRemaining(m); ok {
		inner.number("attempts_remaining", left)
	} else {
		inner.null("attempts_remaining")
	}
	inner.time("expires_at", v.ExpiresAt)
	inner.textOrNull("last_error", v.LastError)
	o.b = inner.end()
}

// attemptsRemaining applies while micro-deposits are awaited: what is left of the
// attempts for what the next action asks to name.
func attemptsRemaining(m *domain.Method) (uint64, bool) {
	v := m.Verification
	if v.Status != domain.VerificationPending || v.Kind != domain.EvidenceMicroDeposits {
		return 0, false
	}
	named := domain.NamedAmounts
	if m.NextAction != nil && m.NextAction.MicroDepositType != "" {
		named = m.NextAction.MicroDepositType
	}
	return uint64(max(v.Remaining(named), 0)), true
}

func writeCard(o *object, c *domain.Card) {
	if c == nil {
		o.null("card")
		return
	}
	if !o.key("card") {
		return
	}
	inner := begin(o.b)
	inner.text("brand", c.Brand)
	inner.texts("additional_brands", c.AdditionalBrands)
	inner.text("last4", c.Last4)
	inner.number("exp_month", uint64(c.ExpMonth))
	inner.number("exp_year", uint64(c.ExpYear))
	inner.textOrNull("country", c.Country)
	inner.textOrNull("funding", c.Funding)
	o.b = inner.end()
}

func writeBankAccount(o *object, m *domain.Method, to audience) {
	account := m.BankAccount
	if account == nil {
		o.null("bank_account")
		return
	}
	if !o.key("bank_account") {
		return
	}
	inner := begin(o.b)
	inner.textOrNull("bank_name", account.BankName)
	inner.text("last4", account.Last4)
	inner.textOrNull("routing", account.Routing)
	inner.personal("holder", m.Personal.Holder, to)
	inner.textOrNull("holder_type", account.HolderType)
	inner.textOrNull("account_type", account.AccountType)
	inner.textOrNull("country", account.Country)
	inner.textOrNull("currency", account.Currency)
	inner.textOrNull("status", account.Status)
	o.b = inner.end()
}

func writeWallet(o *object, m *domain.Method, to audience) {
	if m.Wallet == nil {
		o.null("wallet")
		return
	}
	if !o.key("wallet") {
		return
	}
	inner := begin(o.b)
	inner.text("kind", m.Wallet.Kind)
	inner.personal("email", m.Personal.Email, to)
	o.b = inner.end()
}

func writeMandate(o *object, m *domain.Mandate) {
	if m == nil {
		o.null("mandate")
		return
	}
	if !o.key("mandate") {
		return
	}
	inner := begin(o.b)
	inner.text("reference", m.Reference)
	inner.text("scheme", m.Scheme)
	inner.text("status", m.Status)
	inner.time("accepted_at", m.AcceptedAt)
	inner.time("expires_at", m.ExpiresAt)
	o.b = inner.end()
}

func shownLabel(label string, personal bool) string {
	if personal {
		return ""
	}
	return label
}

func (o *object) personal(name, value string, to audience) {
	if to == toConsumer {
		value = ""
	}
	o.textOrNull(name, value)
}

func writePersonal(o *object, p domain.Personal, to audience) {
	if to == toConsumer {
		o.null("billing_address")
		o.null("metadata")
		return
	}
	if o.key("billing_address") {
		o.b = appendAddress(o.b, p.BillingAddress)
	}
	o.dictionary("metadata", p.Metadata)
}

// appendAddress writes the lines an address has.
func appendAddress(b []byte, a *domain.Address) []byte {
	inner := begin(b)
	if a != nil {
		inner.textIfAny("name", a.Name)
		inner.textIfAny("company", a.Company)
		inner.textIfAny("line1", a.Line1)
		inner.textIfAny("line2", a.Line2)
		inner.textIfAny("city", a.City)
		inner.textIfAny("state", a.State)
		inner.textIfAny("postal_code", a.PostalCode)
		inner.textIfAny("country", a.Country)
		inner.textIfAny("email", a.Email)
		inner.textIfAny("phone", a.Phone)
	}
	return inner.end()
}
