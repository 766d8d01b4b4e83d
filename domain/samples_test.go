package domain

import (
	"reflect"
	"testing"
	"time"
)

var (
	sampleTime    = time.Date(2026, 11, 21, 9, 30, 0, 250_000_000, time.UTC)
	sampleMethod  = MethodID("pm_0193c2f0a1b27c3d8e4f5a6b7c8d9e0f")
	anotherMethod = MethodID("pm_0193c2f0a1b27c3d8e4f5a6b7c8d9e10")
	sampleIntent  = SetupIntentID("seti_0193c2f0a1b27c3d8e4f5a6b7c8d9e12")
	sampleExpiry  = time.Date(2035, 1, 1, 0, 0, 0, 0, time.UTC)
)

func textOf(s string) *string { return &s }

// catalogue is one sample of every event, in the order of the source, with every
// member filled.
func catalogue(t *testing.T) []Event {
	t.Helper()
	events := append(coreSamples(), lifecycleSamples()...)
	for _, e := range events {
		if member := emptyMember(reflect.ValueOf(e), e.StoredName()); member != "" {
			t.Fatalf("the sample of %s leaves %s empty: fill it, so that the catalogue shows it", e.StoredName(), member)
		}
	}
	return events
}

func coreSamples() []Event {
	return []Event{
		MethodAttached{
			MethodID: sampleMethod, Organization: "acme", Customer: "cus_1", ExternalID: "card-7", Facts: sampleFacts(), FactsFrom: "gateway",
			Provider: "sandbox", ProviderID: "tok_visa", Status: StatusActive, StatusThen: StatusPaused,
			ExpiresAt: sampleExpiry, Verification: sampleVerification(), Personal: samplePersonal(),
			SetupIntentID: sampleIntent, NextAction: sampleAction(),
		},
		MethodUpdated{MethodID: sampleMethod, ExternalID: textOf("card-8"), Provider: textOf("stripe"), ProviderID: textOf("tok_2"), Personal: samplePersonal(), VerificationDropped: true},
		MethodPaused{MethodID: sampleMethod, Reason: "requested"},
		MethodResumed{MethodID: sampleMethod},
		MethodExpiring{MethodID: sampleMethod, ExpiresAt: time.Date(2035, 1, 1, 0, 0, 0, 0, time.UTC), Window: 7, Served: []int{7, 30}},
		MethodExpired{MethodID: sampleMethod, ExpiresAt: time.Date(2035, 1, 1, 0, 0, 0, 0, time.UTC)},
		DuplicateDetected{
			MethodID: sampleMethod, Fingerprint: "5f3759df", Policy: DuplicateReturnExisting, Provider: "sandbox", ProviderID: "tok_visa", Deferred: true,
			Unfit: StatusPaused,
		},
		DefaultChanged{From: anotherMethod, To: sampleMethod, Cause: CauseRequested},
		MethodDetached{MethodID: sampleMethod, PendingDropped: true},
		CommandAccepted{Command: "set_default"},
		OrganizationCreated{Organization: "acme", Mode: ModeTest},
		OrganizationUpdated{Settings: Settings{
			DefaultPolicy: DefaultLatest, DuplicatePolicy: DuplicateAllow, ExpiryWindowsDays: []int{60, 30}, TimeZone: "Europe/Zurich",
			RedirectHosts: []string{"shop.example"},
		}},
		KeyCreated{Key: APIKey{
			ID: "k_1", MAC: "00ff", Name: "checkout", Scopes: []string{"payment-methods.read"},
			ExpiresAt: sampleTime.AddDate(1, 0, 0), CreatedAt: sampleTime, RevokedAt: sampleTime.AddDate(0, 1, 0),
		}},
		KeyRevoked{KeyID: "k_1"},
		LedgerCreated{LedgerID: "0193c2f0a1b27c3d8e4f5a6b7c8d9e0f", SecretFingerprint: "c0ffee"},
	}
}

// lifecycleSamples are of what happens to a method between attach and detach, and
// of what stands around it.
func lifecycleSamples() []Event {
	id := sampleMethod
	return []Event{
		TestClockSet{Now: sampleTime},
		VerificationRequested{MethodID: id},
		VerificationStarted{
			MethodID: id, Kind: EvidenceMicroDeposits, Amount: 100, Currency: "usd", Named: NamedAmounts, ArrivalDate: "2026-11-24",
			ExpiresAt: sampleTime.AddDate(0, 0, 10), Reference: "ver_1", Resend: 1,
		},
		VerificationAttemptFailed{MethodID: id, Named: NamedAmounts, AttemptsRemaining: 2},
		VerificationEnded{MethodID: id, Cause: CauseExhausted},
		MethodVerified{MethodID: id, Kind: EvidenceMicroDeposits, Reference: "ver_1"},
		MethodSynced{MethodID: id, Facts: sampleFacts(), Verification: sampleVerification(), ExpiresAt: sampleExpiry, Personal: samplePersonal()},
		MethodActivated{MethodID: id},
		MethodFailed{MethodID: id, Reason: "the gateway does not know the token"},
		MethodBlocked{MethodID: id, Reason: "lost_card"},
		MandateUpdated{MethodID: id, Mandate: *sampleFacts().Mandate},
		MandateExpiring{MethodID: id, ExpiresAt: sampleExpiry},
		GatewayDetached{MethodID: id, Kept: "another payment method stands for the same token"},
		GatewayDetachFailed{MethodID: id, Reason: "the gateway did not answer"},
		GatewayCanceled{MethodID: id, Since: 9, Failure: "the gateway did not answer"},
		ReplacementAvailable{MethodID: id, Replacement: sampleReplacement()},
		MethodReplacedByUpdater{MethodID: id, Replacement: sampleReplacement(), ExpiresAt: sampleExpiry, Cause: CauseCardDeclined},
		MethodReplaced{
			MethodID: id, Provider: "sandbox", ProviderID: "tok_2", Facts: sampleFacts(), Verification: sampleVerification(),
			ExpiresAt: sampleExpiry, Personal: samplePersonal(),
		},
		MethodDeclined{MethodID: id, Code: "expired_payment_method"},
		SubscriptionUpdated{Subscription: "sub_1", Status: "active", MethodID: id, Taken: id, Released: anotherMethod},
		SubscriptionDeleted{Subscription: "sub_1", Released: id},
		SubscriptionClaimed{Subscription: "sub_1", Customer: "cus_1"},
		SetupIntentCreated{
			SetupIntentID: sampleIntent, Organization: "acme", Customer: "cus_1", Type: TypeCard, Usage: "off_session", Provider: "sandbox",
			Token: "tok_visa", RedirectURL: "https://shop.example/back", SetAsDefault: true, MethodID: id,
			ExpiresAt: sampleTime.AddDate(0, 0, 1), Personal: samplePersonal(),
		},
		SetupIntentProcessing{SetupIntentID: sampleIntent, Token: "tok_visa", Approved: true},
		SetupIntentNeedsAction{SetupIntentID: sampleIntent, MethodID: id, NextAction: *sampleAction(), Reference: "set_1"},
		SetupIntentSucceeded{SetupIntentID: sampleIntent, MethodID: id},
		SetupIntentFailed{SetupIntentID: sampleIntent, Error: SetupError{Code: CodeGatewayDeclined, Message: "the gateway declined"}},
		SetupIntentCanceled{SetupIntentID: sampleIntent, Reason: CancelRequested},
		SetupGatewayCanceled{SetupIntentID: sampleIntent, Since: 9, Failure: "the gateway did not answer"},
	}
}

// sampleVerification has every member; no verification has them all at once.
func sampleVerification() Verification {
	return Verification{
		Status: Verified, Kind: EvidenceWallet, VerifiedAt: sampleTime, ExpiresAt: sampleTime.AddDate(0, 0, 10), Reference: "ver_1", Asked: 7,
		AmountsFailed: 1, DescriptorFailed: 2, Resends: 1, LastError: "mismatch",
	}
}

func sampleAction() *NextAction {
	return &NextAction{
		Type: ActionRedirect, RedirectURL: "https://bank.example/approve", RedirectTarget: "new_window", ArrivalDate: "2026-11-24",
		MicroDepositType: NamedDescriptor, SDKData: `{"client":"x"}`,
	}
}

func sampleReplacement() Replacement {
	return Replacement{Card: *sampleFacts().Card, ProviderID: "tok_2", Fingerprint: "90125", AvailableAt: sampleTime}
}

func sampleFacts() Facts {
	return Facts{
		Type: TypeCard, Method: "card", Fingerprint: "5f3759df", Country: "US", Currency: "usd",
		Card: &Card{
			Brand: "visa", AdditionalBrands: []string{"cartes_bancaires"}, Last4: "4242", ExpMonth: 12, ExpYear: 2034, Country: "US", Funding: "credit",
		},
		BankAccount: &BankAccount{
			BankName: "Sandbox Bank", Last4: "6789", Routing: "110000000", HolderType: "individual", AccountType: "checking",
			Country: "US", Currency: "usd", Status: "active",
		},
		Wallet:  &Wallet{Kind: "apple_pay"},
		Mandate: &Mandate{Reference: "R-1", Scheme: "sepa", Status: "active", AcceptedAt: sampleTime, ExpiresAt: sampleTime.AddDate(3, 0, 0)},
	}
}

func samplePersonal() Personal {
	return Personal{
		BillingAddress: &Address{
			Name: "Ada Muster", Company: "Acme", Line1: "Bahnhofstrasse 1", Line2: "c/o Muster", City: "Zürich", State: "ZH",
			PostalCode: "8001", Country: "CH", Email: "ada@acme.example", Phone: "+41 44 000 00 00",
		},
		Metadata: map[string]string{"team": "blue"}, Holder: "Ada Muster", Email: "ada@acme.example",
	}
}

// emptyMember names the first member of v, at any depth, that has its zero value.
func emptyMember(v reflect.Value, path string) string {
	switch {
	case v.IsZero():
		return path
	case v.Kind() == reflect.Pointer:
		return emptyMember(v.Elem(), path)
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		for i := range v.NumField() {
			if member := emptyMember(v.Field(i), path+"."+v.Type().Field(i).Name); member != "" {
				return member
			}
		}
	}
	return ""
}
