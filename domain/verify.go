package domain

import "time"

// VerifyMethod asks for a method to be verified.
type VerifyMethod struct{ MethodID MethodID }

// RecordVerification says what the gateway answered to a request for verification.
type RecordVerification struct {
	MethodID MethodID
	// Asked is the version of the customer's stream with the request that this
	// answers (Verification.Asked): an answer to an earlier one is dropped. It is 0
	// for what a gateway tells later, by itself, of micro-deposits; then Reference
	// must be theirs.
	Asked    uint64
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
// Reference is that of the verification which the gateway was asked about.
type ConfirmVerification struct {
	MethodID  MethodID
	Reference string
	Named     Named
	Matches   bool
}

// ResendDeposits sends micro-deposits once more. Resent is the reference of those
// that were sent before; an empty Named is what it was.
type ResendDeposits struct {
	MethodID    MethodID
	Resent      string
	Named       Named
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

// recordVerification: what comes late, twice or from an earlier request changes
// nothing. A verification without a kind of evidence is none: internal.
func (c *Customer) recordVerification(cmd RecordVerification, now time.Time) ([]Event, error) {
	m := c.Methods[cmd.MethodID]
	switch {
	case m == nil || !m.Attached() || m.Verification.Status != VerificationPending:
		return nil, nil
	case m.Verification.Kind == EvidenceMicroDeposits && cmd.Asked == 0:
		return m.depositsSettled(cmd), nil
	case m.Verification.Kind != "" || m.Verification.Asked != cmd.Asked:
		return nil, nil
	case cmd.Failed == "" && (cmd.Kind == "" || !cmd.Done && cmd.Kind != EvidenceMicroDeposits):
		return nil, Refuse(CodeInternal, "the answer about verifying payment method %s names no evidence", m.ID)
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

// depositsSettled: the gateway itself tells how its micro-deposits ended.
func (m *Method) depositsSettled(cmd RecordVerification) []Event {
	switch {
	case cmd.Reference == "" || cmd.Reference != m.Verification.Reference:
		return nil
	case cmd.Failed != "":
		return []Event{VerificationEnded{MethodID: m.ID, Cause: cmd.Failed}}
	case cmd.Done:
		return []Event{MethodVerified{MethodID: m.ID, Kind: EvidenceMicroDeposits, Reference: cmd.Reference}}
	default:
		return nil
	}
}

// AwaitsDeposits tells, before a gateway is asked, whether naming micro-deposits
// can be accepted now. It refuses as the command itself does: with
// payment_method.not_found, .detached, verification.not_pending, .expired and
// .attempts_exhausted.
func (c *Customer) AwaitsDeposits(id MethodID, now time.Time) (*Method, error) {
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

// MayResend tells, before a gateway is asked, whether micro-deposits can be sent
// once more. It refuses as AwaitsDeposits does.
func (c *Customer) MayResend(id MethodID, now time.Time) (*Method, error) {
	m, err := c.AwaitsDeposits(id, now)
	if err != nil {
		return nil, err
	}
	if m.Verification.Resends >= MaxResends {
		return nil, Refuse(CodeVerificationExhausted, "micro-deposits are sent again %d times at most", MaxResends)
	}
	return m, nil
}

// confirmVerification refuses as AwaitsDeposits does, and with conflict when the
// deposits asked about are not the latest. It counts a failed attempt as a fact,
// so that RefusalIn answers verification.mismatch or .attempts_exhausted.
func (c *Customer) confirmVerification(cmd ConfirmVerification, now time.Time) ([]Event, error) {
	m, err := c.AwaitsDeposits(cmd.MethodID, now)
	if err != nil {
		return nil, err
	}
	if cmd.Reference != m.Verification.Reference {
		return nil, depositsChanged(m)
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

// resendDeposits refuses as MayResend does, and with conflict when it is not the
// latest deposits that were sent again. Attempts made so far stay counted.
func (c *Customer) resendDeposits(cmd ResendDeposits, now time.Time) ([]Event, error) {
	m, err := c.MayResend(cmd.MethodID, now)
	if err != nil {
		return nil, err
	}
	if cmd.Resent != m.Verification.Reference {
		return nil, depositsChanged(m)
	}
	named := cmd.Named
	if named == "" && m.NextAction != nil {
		named = m.NextAction.MicroDepositType
	}
	return []Event{VerificationStarted{
		MethodID: m.ID, Kind: EvidenceMicroDeposits, Named: named, ArrivalDate: cmd.ArrivalDate,
		ExpiresAt: now.Add(MicroDepositLifetime), Reference: cmd.Reference, Resend: m.Verification.Resends + 1,
	}}, nil
}

func depositsChanged(m *Method) error {
	return Refuse(CodeConflict, "other micro-deposits are on their way to payment method %s by now; try again", m.ID)
}

// expireVerification: micro-deposits that nobody named in time fail.
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
