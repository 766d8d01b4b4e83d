package projections

import (
	"maps"
	"slices"

	"github.com/pmledger/pmledger/domain"
)

// changes names the members of the object whose value differs, in their order: those that
// events show, and those that concern a person. Version and update time are left
// out: they change with every event and stand in it already.
func changes(a, b *domain.Method) (shown, personal []string) {
	var d difference
	d.add("external_id", a.ExternalID == b.ExternalID)
	d.add("type", a.Type == b.Type)
	d.add("method", a.Method == b.Method)
	d.add("status", a.Status == b.Status)
	d.add("status_reason", a.StatusReason == b.StatusReason)
	d.add("is_default", a.IsDefault == b.IsDefault)
	d.add("verified", (a.Verification.Status == domain.Verified) == (b.Verification.Status == domain.Verified))
	d.add("verification", sameVerification(a, b))
	d.add("card", sameCard(a.Card, b.Card))
	d.add("bank_account", samePointed(a.BankAccount, b.BankAccount))
	d.add("wallet", samePointed(a.Wallet, b.Wallet))
	d.add("mandate", sameMandate(a.Mandate, b.Mandate))
	d.add("fingerprint", a.Fingerprint == b.Fingerprint)
	labelA, personalA := a.Label()
	labelB, personalB := b.Label()
	d.add("label", shownLabel(labelA, personalA) == shownLabel(labelB, personalB))
	d.add("country", a.Country == b.Country)
	d.add("currency", a.Currency == b.Currency)
	d.add("expires_at", a.ExpiresAt.Equal(b.ExpiresAt))
	d.add("expiring", a.Expiring == b.Expiring)
	d.add("provider", a.Provider == b.Provider)
	d.add("provider_id", a.ProviderID == b.ProviderID)
	d.add("replacement", sameReplacement(a.Replacement, b.Replacement))
	d.add("last_replaced_at", a.LastReplacedAt.Equal(b.LastReplacedAt))
	d.add("next_action", sameNextAction(a.NextAction, b.NextAction))
	d.add("in_use_by", slices.Equal(a.InUseBy, b.InUseBy))
	d.add("detached_at", a.DetachedAt.Equal(b.DetachedAt))
	shown = d.names

	d = difference{}
	d.add("billing_address", sameAddress(a.Personal.BillingAddress, b.Personal.BillingAddress))
	d.add("metadata", maps.Equal(a.Personal.Metadata, b.Personal.Metadata))
	d.add("holder", a.Personal.Holder == b.Personal.Holder)
	d.add("email", a.Personal.Email == b.Personal.Email)
	d.add("label", !personalA && !personalB || labelA == labelB)
	return shown, d.names
}

// difference collects the names of what is not the same.
type difference struct{ names []string }

func (d *difference) add(name string, same bool) {
	if !same {
		d.names = append(d.names, name)
	}
}

func samePointed[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}

func sameVerification(a, b *domain.Method) bool {
	v, w := a.Verification, b.Verification
	left, counts := attemptsRemaining(a)
	leftThen, countsThen := attemptsRemaining(b)
	return v.Status == w.Status && v.Kind == w.Kind && v.VerifiedAt.Equal(w.VerifiedAt) && v.ExpiresAt.Equal(w.ExpiresAt) &&
		v.LastError == w.LastError && left == leftThen && counts == countsThen
}

// sameReplacement compares what is shown of replacements.
func sameReplacement(a, b *domain.Replacement) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.AvailableAt.Equal(b.AvailableAt)
}

func sameCard(a, b *domain.Card) bool {
	if a == b || a == nil || b == nil {
		return a == b
	}
	return a.Brand == b.Brand && slices.Equal(a.AdditionalBrands, b.AdditionalBrands) && a.Last4 == b.Last4 &&
		a.ExpMonth == b.ExpMonth && a.ExpYear == b.ExpYear && a.Country == b.Country && a.Funding == b.Funding
}

func sameMandate(a, b *domain.Mandate) bool {
	if a == b || a == nil || b == nil {
		return a == b
	}
	return a.Reference == b.Reference && a.Scheme == b.Scheme && a.Status == b.Status &&
		a.AcceptedAt.Equal(b.AcceptedAt) && a.ExpiresAt.Equal(b.ExpiresAt)
}

func sameAddress(a, b *domain.Address) bool {
	var left, right domain.Address
	if a != nil {
		left = *a
	}
	if b != nil {
		right = *b
	}
	return left == right
}
