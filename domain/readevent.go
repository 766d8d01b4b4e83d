package domain

// The events that are read the most, member by member. A member that is added to a
// struct is added to its reader here; the test that reads every sample back says so.

func (e *MethodAttached) read(r *reader) {
	for r.object(); r.member(); {
		switch string(r.name) {
		case "payment_method_id":
			e.MethodID = MethodID(r.text())
		case "organization_id":
			e.Organization = r.text()
		case "customer_id":
			e.Customer = r.text()
		case "external_id":
			e.ExternalID = r.text()
		case "facts":
			e.Facts.read(r)
		case "facts_from":
			e.FactsFrom = r.text()
		case "provider":
			e.Provider = r.text()
		case "provider_id":
			e.ProviderID = r.text()
		case "status":
			e.Status = Status(r.text())
		case "status_then":
			e.StatusThen = Status(r.text())
		case "setup_intent_id":
			e.SetupIntentID = SetupIntentID(r.text())
		case "next_action":
			r.rest(&e.NextAction)
		case "verification":
			e.Verification.read(r)
		case "expires_at":
			e.ExpiresAt = r.time()
		case "personal":
			e.Personal.read(r)
		default:
			r.skip()
		}
	}
}

func (e *DefaultChanged) read(r *reader) {
	for r.object(); r.member(); {
		switch string(r.name) {
		case "from":
			e.From = MethodID(r.text())
		case "to":
			e.To = MethodID(r.text())
		case "cause":
			e.Cause = DefaultCause(r.text())
		default:
			r.skip()
		}
	}
}

func (p *Personal) read(r *reader) {
	if r.null() {
		return
	}
	for r.object(); r.member(); {
		switch string(r.name) {
		case "billing_address":
			r.rest(&p.BillingAddress)
		case "metadata":
			p.Metadata = r.texts()
		case "holder":
			p.Holder = r.text()
		case "email":
			p.Email = r.text()
		default:
			r.skip()
		}
	}
}

func (f *Facts) read(r *reader) {
	if r.null() {
		return
	}
	for r.object(); r.member(); {
		switch string(r.name) {
		case "type":
			f.Type = Type(r.text())
		case "method":
			f.Method = r.text()
		case "card":
			f.Card = readCard(r)
		case "bank_account":
			r.rest(&f.BankAccount)
		case "wallet":
			r.rest(&f.Wallet)
		case "mandate":
			r.rest(&f.Mandate)
		case "fingerprint":
			f.Fingerprint = r.text()
		case "country":
			f.Country = r.text()
		case "currency":
			f.Currency = r.text()
		default:
			r.skip()
		}
	}
}

func readCard(r *reader) *Card {
	if r.null() {
		return nil
	}
	c := &Card{}
	for r.object(); r.member(); {
		switch string(r.name) {
		case "brand":
			c.Brand = r.text()
		case "additional_brands":
			r.rest(&c.AdditionalBrands)
		case "last4":
			c.Last4 = r.text()
		case "exp_month":
			c.ExpMonth = r.number()
		case "exp_year":
			c.ExpYear = r.number()
		case "country":
			c.Country = r.text()
		case "funding":
			c.Funding = r.text()
		default:
			r.skip()
		}
	}
	return c
}

func (v *Verification) read(r *reader) {
	if r.null() {
		return
	}
	for r.object(); r.member(); {
		switch string(r.name) {
		case "status":
			v.Status = VerificationStatus(r.text())
		case "kind":
			v.Kind = Evidence(r.text())
		case "verified_at":
			v.VerifiedAt = r.time()
		case "expires_at":
			v.ExpiresAt = r.time()
		case "reference":
			v.Reference = r.text()
		case "asked":
			r.rest(&v.Asked)
		case "amounts_failed":
			v.AmountsFailed = r.number()
		case "descriptor_failed":
			v.DescriptorFailed = r.number()
		case "resends":
			v.Resends = r.number()
		case "last_error":
			v.LastError = r.text()
		default:
			r.skip()
		}
	}
}
