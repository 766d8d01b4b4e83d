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

// VerifyMethod asks for a method to be verified.
type VerifyMethod struct{ MethodID MethodID }

// RecordVerification says what the gateway answered to a request for verification.
type RecordVerification struct {
	MethodID MethodID
	Kind     Evidence
	Amount   int64
	Currency string
	// Done: verified at once. Otherwise Failed says why not, or micro-deposits are on their way.
	Done        bool
	Failed      VerificationCause
	Named       Named
	ArrivalDate string
	Reference   string
}

// ConfirmVerification says whether what the holder named is what arrived.
type ConfirmVerification struct {
	MethodID MethodID
	Named    Named
	Matches  bool
}

// ResendDeposits sends micro-deposits once more.
type ResendDeposits struct {
	MethodID    MethodID
	ArrivalDate string
	Reference   string
}

// ExpireVerification ends a verification whose time is over.
type ExpireVerification struct{ MethodID MethodID }

// CommandName is the command's name in records and logs.
func (VerifyMethod) CommandName() string        { return "verify_method" }
func (RecordVerification) CommandName() string  { return "record_verification" }
func (ConfirmVerification) CommandName() string { return "confirm_verification" }
func (ResendDeposits) CommandName() string      { return "resend_deposits" }
func (ExpireVerification) CommandName() string  { return "expire_verification" }

// verify refuses with payment_method.not_found, .detached and .not_active. A
// method that is verified, has nothing to verify or is being verified is left as
// it is.
func (c *Customer) verify(cmd VerifyMethod) ([]Event, error) {
	m, err := c.attached(cmd.MethodID)
	if err != nil {
		return nil, err
	}
	switch m.Verification.Status {
	case Verified, VerificationNotNeeded, VerificationPending:
		return nil, nil
	}
	if m.Status != StatusActive && m.Status != StatusPaused {
		return nil, Refuse(CodeMethodNotActive, "payment method %s is %s and cannot be verified", m.ID, m.Status)
	}
	return []Event{VerificationRequested{MethodID: m.ID}}, nil
}

// recordVerification: what comes late or twice changes nothing.
func (c *Customer) recordVerification(cmd RecordVerification, now time.Time) ([]Event, error) {
	m := c.Methods[cmd.MethodID]
	if m == nil || !m.Attached() || m.Verification.Status != VerificationPending || m.Verification.Kind != "" {
		return nil, nil
	}
	started := VerificationStarted{
		MethodID: m.ID, Kind: cmd.Kind, Amount: cmd.Amount, Currency: cmd.Currency, Reference: cmd.Reference,
	}
	switch {
	case cmd.Failed != "" && cmd.Kind == "":
		return []Event{VerificationEnded{MethodID: m.ID, Cause: cmd.Failed}}, nil
	case cmd.Failed != "":
		return []Event{started, VerificationEnded{MethodID: m.ID, Cause: cmd.Failed}}, nil
	case cmd.Done:
		return []Event{started, MethodVerified{MethodID: m.ID, Kind: cmd.Kind, Reference: cmd.Reference}}, nil
	}
	started.Named, started.ArrivalDate, started.ExpiresAt = cmd.Named, cmd.ArrivalDate, now.Add(MicroDepositLifetime)
	return []Event{started}, nil
}

// depositsAwaited refuses with payment_method.not_found, .detached,
// verification.not_pending and verification.expired.
func (c *Customer) depositsAwaited(id MethodID, now time.Time) (*Method, error) {
	m, err := c.attached(id)
	if err != nil {
		return nil, err
	}
	v := m.Verification
	switch {
	case v.Status == VerificationFailed && v.LastError == string(CauseExhausted):
		return nil, Refuse(CodeVerificationExhausted, "no attempts are left to verify payment method %s", id)
	case v.Status == VerificationFailed && v.LastError == string(CauseExpired):
		return nil, Refuse(CodeVerificationExpired, "the time to verify payment method %s is over", id)
	case v.Status != VerificationPending || v.Kind != EvidenceMicroDeposits:
		return nil, Refuse(CodeVerificationNotPending, "payment method %s does not wait for micro-deposits", id)
	case !now.Before(v.ExpiresAt):
		return nil, Refuse(CodeVerificationExpired, "the time to verify payment method %s is over", id)
	}
	return m, nil
}

// AwaitsDeposits tells, before a gateway is asked, whether naming deposits can
// be accepted now: its refusals are those of the command itself.
func (c *Customer) AwaitsDeposits(id MethodID, now time.Time) (*Method, error) {
	return c.depositsAwaited(id, now)
}

// confirmVerification counts a failed attempt as a fact, so that RefusalIn
// answers verification.mismatch or verification.attempts_exhausted.
func (c *Customer) confirmVerification(cmd ConfirmVerification, now time.Time) ([]Event, error) {
	m, err := c.depositsAwaited(cmd.MethodID, now)
	if err != nil {
		return nil, err
	}
	if cmd.Matches {
		return []Event{MethodVerified{MethodID: m.ID, Kind: EvidenceMicroDeposits, Reference: m.Verification.Reference}}, nil
	}
	left := m.Verification.Remaining(cmd.Named) - 1
	events := []Event{VerificationAttemptFailed{MethodID: m.ID, Named: cmd.Named, AttemptsRemaining: left}}
	if left <= 0 {
		events = append(events, VerificationEnded{MethodID: m.ID, Cause: CauseExhausted})
	}
	return events, nil
}

func (c *Customer) resendDeposits(cmd ResendDeposits, now time.Time) ([]Event, error) {
	m, err := c.depositsAwaited(cmd.MethodID, now)
	if err != nil {
		return nil, err
	}
	if m.Verification.Resends >= MaxResends {
		return nil, Refuse(CodeVerificationExhausted, "micro-deposits are sent again %d times at most", MaxResends)
	}
	named := NamedAmounts
	if m.NextAction != nil && m.NextAction.MicroDepositType != "" {
		named = m.NextAction.MicroDepositType
	}
	return []Event{VerificationStarted{
		MethodID: m.ID, Kind: EvidenceMicroDeposits, Named: named, ArrivalDate: cmd.ArrivalDate,
		ExpiresAt: now.Add(MicroDepositLifetime), Reference: cmd.Reference, Resend: m.Verification.Resends + 1,
	}}, nil
}

func (c *Customer) expireVerification(cmd ExpireVerification, now time.Time) ([]Event, error) {
	m := c.Methods[cmd.MethodID]
	if m == nil || !m.Attached() || m.Verification.Status != VerificationPending ||
		m.Verification.ExpiresAt.IsZero() || now.Before(m.Verification.ExpiresAt) {
		return nil, nil
	}
	return []Event{VerificationEnded{MethodID: m.ID, Cause: CauseExpired}}, nil
}

// verificationRefusal is how a verification that ended answers the command that
// ended it.
func verificationRefusal(e VerificationEnded) error {
	switch e.Cause {
	case CauseExhausted:
		return Refuse(CodeVerificationExhausted, "no attempts are left to verify payment method %s", e.MethodID)
	case CauseExpired:
		return Refuse(CodeVerificationExpired, "the time to verify payment method %s is over", e.MethodID)
	case CauseUnreachable:
		return Refuse(CodeGatewayUnavailable, "the gateway could not be reached to verify payment method %s", e.MethodID)
	default:
		return Refuse(CodeGatewayDeclined, "the gateway declined to verify payment method %s", e.MethodID)
	}
}

// evolveVerification folds an event about verifying into the method. It tells
// whether e was one.
func (m *Method) evolveVerification(e Event, at time.Time) bool {
	v := &m.Verification
	switch e := e.(type) {
	case VerificationRequested:
		*v = Verification{Status: VerificationPending}
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
