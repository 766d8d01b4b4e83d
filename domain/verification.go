package domain

import "time"

// VerificationStatus is the second axis of a method: what is known of the
// holder's right to it.
type VerificationStatus string

// The states of a verification.
const (
	Unverified            VerificationStatus = "unverified"
	VerificationPending   VerificationStatus = "pending"
	Verified              VerificationStatus = "verified"
	VerificationFailed    VerificationStatus = "failed"
	VerificationNotNeeded VerificationStatus = "not_required"
)

// Evidence is what a verification rests on.
type Evidence string

// The kinds of evidence.
const (
	EvidenceCardAuth      Evidence = "card_auth"      // a $0 or $1 authorization, reversed
	EvidenceBankLogin     Evidence = "bank_login"     // the holder signed in at the bank
	EvidenceMicroDeposits Evidence = "micro_deposits" // the holder named what arrived
	EvidenceWallet        Evidence = "wallet"         // the wallet proved itself at attach
)

// Limits of verifying with micro-deposits.
const (
	AmountAttempts       = 3
	DescriptorAttempts   = 10
	MicroDepositLifetime = 10 * 24 * time.Hour
	MaxResends           = 2
)

// Verification is the state of verifying a method.
type Verification struct {
	Status     VerificationStatus `json:"status"`
	Kind       Evidence           `json:"kind,omitempty"`
	VerifiedAt time.Time          `json:"verified_at,omitzero"`
	ExpiresAt  time.Time          `json:"expires_at,omitzero"` // of micro-deposits
	Reference  string             `json:"reference,omitempty"` // the gateway's
	Asked      uint64             `json:"asked,omitempty"`     // version of the stream with the request for it
	// Attempts failed so far, by what was named.
	AmountsFailed    int    `json:"amounts_failed,omitempty"`
	DescriptorFailed int    `json:"descriptor_failed,omitempty"`
	Resends          int    `json:"resends,omitempty"`
	LastError        string `json:"last_error,omitempty"`
}

// Named is what a holder names to prove that micro-deposits arrived.
type Named string

// What a holder can name.
const (
	NamedAmounts    Named = "amounts"
	NamedDescriptor Named = "descriptor_code"
)

// since is the verification that an attach or a new instrument brings with it: one
// that is there at once dates from that moment.
func (v Verification) since(at time.Time) Verification {
	if v.Status == Verified {
		v.VerifiedAt = at
	}
	return v
}

// dropVerification ends one that is pending: the method is as if none had begun.
func (m *Method) dropVerification() {
	if m.Verification.Status == VerificationPending {
		m.Verification, m.NextAction = Verification{Status: Unverified}, nil
	}
}

// Remaining counts the attempts left for what is named.
func (v Verification) Remaining(n Named) int {
	if n == NamedDescriptor {
		return DescriptorAttempts - v.DescriptorFailed
	}
	return AmountAttempts - v.AmountsFailed
}

// verificationAtAttach: wallets prove themselves by being attached, and some
// kinds have nothing to prove.
func verificationAtAttach(f Facts) Verification {
	switch f.Type {
	case TypeCard, TypeBankAccount:
		return Verification{Status: Unverified}
	case TypePaypal, TypeWallet:
		return Verification{Status: Verified, Kind: EvidenceWallet}
	default:
		return Verification{Status: VerificationNotNeeded}
	}
}

// VerificationRequested: somebody wants the method verified. The gateway is asked
// next; this is the promise that it will be, whatever happens to the process.
// Never published.
type VerificationRequested struct {
	MethodID MethodID `json:"payment_method_id"`
}

// VerificationStarted: the gateway has begun. Amount is in the smallest unit of
// Currency, for a card authorization. ExpiresAt and ArrivalDate (YYYY-MM-DD) are
// those of micro-deposits; Resend counts how often they were sent again.
type VerificationStarted struct {
	MethodID    MethodID  `json:"payment_method_id"`
	Kind        Evidence  `json:"kind"`
	Amount      int64     `json:"amount,omitempty"`
	Currency    string    `json:"currency,omitempty"`
	Named       Named     `json:"named,omitempty"`
	ArrivalDate string    `json:"arrival_date,omitempty"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	Reference   string    `json:"reference,omitempty"`
	Resend      int       `json:"resend,omitempty"`
}

// VerificationAttemptFailed: what the holder named is not what arrived.
type VerificationAttemptFailed struct {
	MethodID          MethodID `json:"payment_method_id"`
	Named             Named    `json:"named"`
	AttemptsRemaining int      `json:"attempts_remaining"`
}

// VerificationCause says why a verification failed for good.
type VerificationCause string

// The causes of a failed verification.
const (
	CauseDeclined    VerificationCause = "declined"
	CauseExhausted   VerificationCause = "attempts_exhausted"
	CauseExpired     VerificationCause = "expired"
	CauseUnsupported VerificationCause = "unsupported"
	CauseUnreachable VerificationCause = "gateway_unavailable"
)

// VerificationEnded: the verification failed for good.
type VerificationEnded struct {
	MethodID MethodID          `json:"payment_method_id"`
	Cause    VerificationCause `json:"cause"`
}

// MethodVerified: the holder's right to the method is shown, by the named evidence.
type MethodVerified struct {
	MethodID  MethodID `json:"payment_method_id"`
	Kind      Evidence `json:"kind"`
	Reference string   `json:"reference,omitempty"`
}

// The names in the log.
func (VerificationRequested) StoredName() string { return "payment_method.verification_requested" }
func (VerificationStarted) StoredName() string   { return "payment_method.verification_started" }
func (VerificationAttemptFailed) StoredName() string {
	return "payment_method.verification_attempt_failed"
}
func (VerificationEnded) StoredName() string { return "payment_method.verification_failed" }
func (MethodVerified) StoredName() string    { return "payment_method.verified" }

func (VerificationRequested) event()     {}
func (VerificationStarted) event()       {}
func (VerificationAttemptFailed) event() {}
func (VerificationEnded) event()         {}
func (MethodVerified) event()            {}

// evolveVerification folds an event about verifying into the method. It tells
// whether e was one.
func (m *Method) evolveVerification(e Event, at time.Time, version uint64) bool {
	v := &m.Verification
	switch e := e.(type) {
	case VerificationRequested:
		*v = Verification{Status: VerificationPending, Asked: version}
	case VerificationStarted:
		v.Kind, v.ExpiresAt, v.Reference, v.Resends = e.Kind, e.ExpiresAt, e.Reference, e.Resend
		if e.Kind == EvidenceMicroDeposits {
			m.NextAction = &NextAction{Type: ActionMicroDeposits, ArrivalDate: e.ArrivalDate, MicroDepositType: e.Named}
		}
	case VerificationAttemptFailed:
		v.LastError = "mismatch"
		if e.Named == NamedDescriptor {
			v.DescriptorFailed++
		} else {
			v.AmountsFailed++
		}
	case VerificationEnded:
		v.Status, v.LastError, v.ExpiresAt, m.NextAction = VerificationFailed, string(e.Cause), time.Time{}, nil
	case MethodVerified:
		*v = Verification{Status: Verified, Kind: e.Kind, VerifiedAt: at, Reference: e.Reference}
		m.NextAction = nil
	default:
		return false
	}
	return true
}
