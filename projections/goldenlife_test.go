package projections_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/projections"
)

// wholeLife leads through every public event that life leaves out.
func wholeLife(l *ledger) {
	stream := domain.CustomerStream("acme", "cus_2", "")
	do := func(cmd domain.Command) uint64 {
		l.now = l.now.Add(time.Second)
		return l.execute(stream, cmd).Version
	}
	fails := func(cmd domain.Command) {
		l.now = l.now.Add(time.Second)
		if _, err := l.try(stream, cmd); err == nil {
			l.t.Fatalf("%s was not refused", cmd.CommandName())
		}
	}
	card, bank, debit, lost := l.card(), l.card(), l.card(), l.card()
	card.Unsynced, card.Facts, card.FactsFrom = true, domain.Facts{Type: domain.TypeCard}, ""
	known := l.card().Facts
	do(card)
	do(domain.SyncMethod{MethodID: card.MethodID, Provider: card.Provider, ProviderID: card.ProviderID, Facts: known, Policy: policy()})
	asked := do(domain.VerifyMethod{MethodID: card.MethodID})
	do(domain.RecordVerification{
		MethodID: card.MethodID, Asked: asked, Kind: domain.EvidenceCardAuth, Amount: 100, Currency: "usd", Done: true, Reference: "auth_1",
	})
	bank.Type, bank.Facts = domain.TypeBankAccount, factsOf(domain.TypeBankAccount)
	do(bank)
	asked = do(domain.VerifyMethod{MethodID: bank.MethodID})
	do(domain.RecordVerification{
		MethodID: bank.MethodID, Asked: asked, Kind: domain.EvidenceMicroDeposits, Named: domain.NamedAmounts, ArrivalDate: "2026-03-03", Reference: "md_1",
	})
	for range domain.AmountAttempts {
		fails(domain.ConfirmVerification{MethodID: bank.MethodID, Reference: "md_1", Named: domain.NamedAmounts})
	}
	news := *known.Card
	news.Last4, news.ExpYear = "1881", 2037
	do(domain.ReportReplacement{MethodID: card.MethodID, Replacement: domain.Replacement{Card: news, Fingerprint: "fp_news"}, Policy: policy()})
	do(domain.ReportDecline{MethodID: card.MethodID, Code: "expired_payment_method", Policy: policy()})
	do(domain.ReplaceInstrument{
		MethodID: card.MethodID, Provider: "sandbox", ProviderID: "tok_other", Facts: l.card().Facts, Policy: policy(),
	})
	do(domain.SetSubscription{Subscription: "sub_1", Status: "active", MethodID: bank.MethodID})
	debit.Type, debit.Facts = domain.TypeDirectDebit, factsOf(domain.TypeDirectDebit)
	do(debit)
	do(domain.UpdateMandate{MethodID: debit.MethodID, Mandate: domain.Mandate{
		Reference: "MND-1", Scheme: "sepa", Status: "active", AcceptedAt: epoch, ExpiresAt: epoch.AddDate(0, 0, 20),
	}})
	do(domain.MarkExpiry{MethodID: debit.MethodID, Policy: policy()})
	do(domain.ReportDecline{MethodID: card.MethodID, Code: "stolen_card", Policy: policy()})
	do(domain.DetachMethod{MethodID: debit.MethodID})
	do(domain.RecordGatewayDetach{MethodID: debit.MethodID, Failure: "the payment provider could not be reached"})
	lost.Unsynced, lost.Facts, lost.FactsFrom = true, domain.Facts{Type: domain.TypeCard}, ""
	do(lost)
	do(domain.FailMethod{MethodID: lost.MethodID, Reason: "the payment provider knows no such token"})
	intents(l, do)
}

func intents(l *ledger, do func(domain.Command) uint64) {
	id, waiting := domain.NewSetupIntentID(l.id()), l.card()
	asked := do(domain.CreateSetupIntent{
		SetupIntentID: id, Type: domain.TypeCard, Usage: "off_session", Provider: "sandbox", Token: "tok_visa_declined", Confirm: true,
		RedirectURL: "https://shop.example", Metadata: map[string]string{"order": "7"},
	})
	do(domain.ResolveSetupIntent{SetupIntentID: id, Version: asked, Failure: &domain.SetupError{Code: domain.CodeGatewayDeclined, Message: "declined"}})
	asked = do(domain.ConfirmSetupIntent{SetupIntentID: id, Token: "tok_visa_3ds"})
	asked = do(domain.ResolveSetupIntent{SetupIntentID: id, Version: asked, Reference: "ref_1", NextAction: &domain.NextAction{
		Type: domain.ActionRedirect, RedirectURL: "https://bank.example/approve?secret=1", RedirectTarget: "any",
	}})
	asked = do(domain.ApproveSetupIntent{SetupIntentID: id, Version: asked})
	attach := l.card()
	do(domain.ResolveSetupIntent{SetupIntentID: id, Version: asked, Attach: &attach, Reference: "ref_1"})
	waiting.Approval = &domain.Approval{
		SetupIntentID: domain.NewSetupIntentID(l.id()), NextAction: domain.NextAction{Type: domain.ActionProviderSDK, SDKData: `{"client_secret":"x"}`},
	}
	do(waiting)
	do(domain.CancelSetupIntent{SetupIntentID: waiting.Approval.SetupIntentID, Reason: domain.CancelRequested})
}

func TestTheEventsOfAWholeLifeAreRenderedAsTheContractSays(t *testing.T) {
	l := newLedger(t)
	v := views(l)
	wholeLife(l)
	v.caughtUp(l.store)
	messages, err := v.Messages(0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	seen := map[string]bool{}
	for _, m := range messages {
		if bytes.Contains(m.Body, []byte("bank.example")) || bytes.Contains(m.Body, []byte("client_secret\":\"")) {
			t.Errorf("a message lets its reader act for the customer: %s", m.Body)
		}
		if !seen[m.Type] {
			fmt.Fprintf(&all, "%s %s\n%s\n", m.Subject(), m.SubjectID, indented(t, m.Body))
		}
		seen[m.Type] = true
	}
	golden(t, "events_life", all.Bytes())
	for _, name := range []string{
		"payment_method.activated", "payment_method.failed", "payment_method.blocked", "payment_method.provider_synced",
		"payment_method.verification_started", "payment_method.verification_attempt_failed", "payment_method.verification_failed",
		"payment_method.verified", "payment_method.replacement_available", "payment_method.automatically_updated", "payment_method.updated",
		"payment_method.gateway_detach_failed", "setup_intent.created", "setup_intent.requires_action", "setup_intent.processing",
		"setup_intent.succeeded", "setup_intent.setup_failed", "setup_intent.canceled", "mandate.updated", "mandate.expiring",
	} {
		if !seen[name] {
			t.Errorf("no golden event %s", name)
		}
	}
}

func TestWhatComesNextIsRenderedAsTheContractSays(t *testing.T) {
	var all bytes.Buffer
	for _, a := range []domain.NextAction{
		{Type: domain.ActionRedirect, RedirectURL: "https://bank.example/approve?a=1&b=2", RedirectTarget: "new_window"},
		{Type: domain.ActionMicroDeposits, ArrivalDate: "2026-03-03", MicroDepositType: domain.NamedDescriptor},
		{Type: domain.ActionProviderSDK, SDKData: `{"client_secret":"pi_1"}`},
		{Type: domain.ActionProviderSDK, SDKData: `not JSON`},
	} {
		m := &domain.Method{
			ID: "pm_1", Status: domain.StatusPending, NextAction: &a, InUseBy: []string{"sub_1", "sub_2"},
			Replacement: &domain.Replacement{AvailableAt: epoch},
			Verification: domain.Verification{
				Status: domain.VerificationPending, Kind: domain.EvidenceMicroDeposits, AmountsFailed: 1, DescriptorFailed: 2,
				ExpiresAt: epoch.AddDate(0, 0, 10), LastError: "mismatch",
			},
		}
		all.Write(indented(t, projections.RenderMethod(m)))
	}
	golden(t, "next_actions", all.Bytes())
}

func TestASetupIntentIsRenderedAsTheContractSays(t *testing.T) {
	l := newLedger(t)
	wholeLife(l)
	var all bytes.Buffer
	_, states, err := l.replay()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range intentsIn(states[domain.CustomerStream("acme", "cus_2", "")]) {
		if s.Status == domain.SetupSucceeded {
			all.Write(indented(t, projections.RenderSetupIntent(s, "seti_1_secret_2")))
		}
	}
	all.Write(indented(t, projections.RenderSetupIntent(&domain.SetupIntent{}, "")))
	golden(t, "setup_intent", all.Bytes())
}
