package projections_test

import (
	"time"

	"pgregory.net/rapid"

	"github.com/pmledger/pmledger/domain"
)

type ownedIntent struct {
	owned // stream
	id    domain.SetupIntentID
}

// intentOf makes the id of a setup intent that will stand in the stream of a method.
func (w *world) intentOf(o owned) ownedIntent {
	i := ownedIntent{o, domain.NewSetupIntentID(w.id())}
	w.intents = append(w.intents, i)
	return i
}

// lifeCommand is a command about what happens to a method beyond attach, change
// and detach. State decides whether it means anything.
func (w *world) lifeCommand(rt *rapid.T) (string, domain.Command) {
	if rapid.IntRange(0, 20).Draw(rt, "leap") == 0 {
		w.now = w.now.AddDate(0, 0, rapid.IntRange(1, 40).Draw(rt, "days"))
	}
	if rapid.IntRange(0, 2).Draw(rt, "intents") == 0 {
		return w.intentCommand(rt)
	}
	m := rapid.SampledFrom(w.methods).Draw(rt, "method")
	return m.stream(), w.instrumentCommand(rt, m)
}

func (w *world) instrumentCommand(rt *rapid.T, o owned) domain.Command {
	m := w.state(rt, o).Methods[o.id]
	if m == nil {
		m = &domain.Method{}
	}
	card := domain.Card{Brand: "visa", Last4: "1881", ExpMonth: rapid.IntRange(1, 12).Draw(rt, "month"), ExpYear: rapid.IntRange(2026, 2027).Draw(rt, "year")}
	switch rapid.IntRange(0, 19).Draw(rt, "instrument") {
	case 0:
		return domain.SyncMethod{MethodID: o.id, Provider: m.Provider, ProviderID: m.ProviderID, Facts: factsOf(m.Type), Policy: policy()}
	case 1:
		return domain.FailMethod{MethodID: o.id, Reason: "<unknown>"}
	case 2, 3:
		return domain.VerifyMethod{MethodID: o.id}
	case 4, 5:
		return w.answer(rt, m, o.id)
	case 6:
		named := rapid.SampledFrom([]domain.Named{domain.NamedAmounts, domain.NamedDescriptor}).Draw(rt, "named")
		return domain.ConfirmVerification{MethodID: o.id, Reference: m.Verification.Reference, Named: named, Matches: rapid.Bool().Draw(rt, "matches")}
	case 7:
		return domain.ExpireVerification{MethodID: o.id}
	case 8:
		return domain.ReportReplacement{MethodID: o.id, Replacement: domain.Replacement{Card: card, Fingerprint: few(rt, "fingerprint")}, Policy: policy()}
	case 9:
		code := rapid.SampledFrom([]string{"expired_payment_method", "stolen_card", "other"}).Draw(rt, "code")
		return domain.ReportDecline{MethodID: o.id, Code: code, Policy: policy()}
	case 10:
		facts := factsOf(m.Type)
		facts.Fingerprint = few(rt, "fingerprint")
		return domain.ReplaceInstrument{MethodID: o.id, Provider: "sandbox", ProviderID: "tok_" + few(rt, "token"), Facts: facts, Policy: policy()}
	case 11:
		return domain.MarkExpiry{MethodID: o.id, Policy: policy()}
	case 12:
		return domain.RecordGatewayDetach{MethodID: o.id, Failure: few(rt, "failure")}
	case 13:
		return domain.RecordGatewayCancel{MethodID: o.id, Since: sinceOf(rt, m.LeftOpen), Failure: few(rt, "failure")}
	case 14:
		return domain.ReportTokenGone{MethodID: o.id}
	default:
		return w.useCommand(rt, o)
	}
}

func (w *world) useCommand(rt *rapid.T, o owned) domain.Command {
	switch rapid.IntRange(0, 3).Draw(rt, "use") {
	case 0:
		cmd := domain.SetSubscription{Subscription: "sub_1", Status: rapid.SampledFrom([]string{"active", "paused"}).Draw(rt, "used")}
		if rapid.IntRange(0, 3).Draw(rt, "named") > 0 {
			cmd.MethodID = o.id
		}
		return cmd
	case 1:
		return domain.DeleteSubscription{Subscription: "sub_1"}
	case 2:
		return domain.ReplaceWith{MethodID: o.id, With: rapid.SampledFrom(w.methods).Draw(rt, "with").id}
	default:
		return domain.UpdateMandate{MethodID: o.id, Mandate: domain.Mandate{
			Reference: "MND-2", Scheme: "bacs", Status: "active", AcceptedAt: epoch, ExpiresAt: epoch.AddDate(0, 1, 0),
		}}
	}
}

// answer is what a gateway answers to a request for verification.
func (w *world) answer(rt *rapid.T, m *domain.Method, id domain.MethodID) domain.Command {
	cmd := domain.RecordVerification{MethodID: id, Asked: m.Verification.Asked, Kind: domain.EvidenceMicroDeposits, Reference: "ref"}
	switch rapid.IntRange(0, 3).Draw(rt, "answer") {
	case 0:
		cmd.Kind, cmd.Done, cmd.Amount, cmd.Currency = domain.EvidenceCardAuth, true, 100, "usd"
	case 1:
		cmd.Kind, cmd.Failed = "", domain.CauseDeclined
	default:
		cmd.Named = rapid.SampledFrom([]domain.Named{domain.NamedAmounts, domain.NamedDescriptor}).Draw(rt, "named")
		cmd.ArrivalDate = w.now.Format(time.DateOnly)
	}
	return cmd
}

func (w *world) intentCommand(rt *rapid.T) (string, domain.Command) {
	if len(w.intents) == 0 || rapid.IntRange(0, 3).Draw(rt, "create") == 0 {
		i := w.intentOf(rapid.SampledFrom(w.methods).Draw(rt, "beside"))
		return i.stream(), domain.CreateSetupIntent{
			SetupIntentID: i.id, Usage: "off_session", Provider: "sandbox", Token: few(rt, "token"), Confirm: rapid.Bool().Draw(rt, "confirm"),
			SetAsDefault: rapid.Bool().Draw(rt, "default"), Metadata: map[string]string{"<k>": few(rt, "value")},
		}
	}
	i := rapid.SampledFrom(w.intents).Draw(rt, "intent")
	s := w.state(rt, i.owned).SetupIntents[i.id]
	version := uint64(0)
	if s != nil {
		version = s.Version
	}
	var left []domain.LeftOpen
	if s != nil {
		left = s.LeftOpen
	}
	switch rapid.IntRange(0, 7).Draw(rt, "step") {
	case 7:
		return i.stream(), domain.RecordGatewayCancel{SetupIntentID: i.id, Since: sinceOf(rt, left), Failure: few(rt, "failure")}
	case 0:
		return i.stream(), domain.ConfirmSetupIntent{SetupIntentID: i.id, Token: "tok_" + few(rt, "token")}
	case 1:
		return i.stream(), domain.ApproveSetupIntent{SetupIntentID: i.id, Version: version}
	case 2:
		return i.stream(), domain.CancelSetupIntent{SetupIntentID: i.id, Reason: domain.CancelDuplicate}
	case 3:
		return i.stream(), domain.ExpireSetupIntent{SetupIntentID: i.id}
	default:
		return i.stream(), w.resolve(rt, i, version)
	}
}

func (w *world) resolve(rt *rapid.T, i ownedIntent, version uint64) domain.Command {
	cmd := domain.ResolveSetupIntent{SetupIntentID: i.id, Version: version, Reference: "ref"}
	switch rapid.IntRange(0, 3).Draw(rt, "resolved") {
	case 0:
		code := rapid.SampledFrom([]domain.Code{domain.CodeGatewayDeclined, domain.CodeGatewayUnavailable}).Draw(rt, "code")
		cmd.Failure = &domain.SetupError{Code: code, Message: "declined <"}
	case 1:
		cmd.NextAction = &domain.NextAction{Type: domain.ActionProviderSDK, SDKData: rapid.SampledFrom([]string{`{"a":[1,"<"]}`, "secret", ""}).Draw(rt, "data")}
	default:
		attach := w.card()
		attach.Facts.Fingerprint = few(rt, "fingerprint")
		o := i.owned
		o.id = attach.MethodID
		if o.customer != "" {
			w.methods = append(w.methods, o)
		}
		cmd.Attach = &attach
	}
	return cmd
}

// sinceOf names one of what is left open, or nothing.
func sinceOf(rt *rapid.T, open []domain.LeftOpen) uint64 {
	if len(open) == 0 {
		return 0
	}
	return rapid.SampledFrom(open).Draw(rt, "open").Since
}

func (w *world) state(rt *rapid.T, o owned) *domain.Customer {
	state, _, err := w.State(w.t.Context(), o.stream())
	if err != nil {
		rt.Fatal(err)
	}
	return state.(*domain.Customer)
}
