package domain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// everyCommand is one of each, for the check that each has a scenario.
func everyCommand() []Command {
	return []Command{
		AttachMethod{}, UpdateMethod{}, SetDefault{}, DetachMethod{}, OpenOrganization{}, CreateKey{}, RevokeKey{}, UpdateSettings{}, SetTestClock{},
		SyncMethod{}, FailMethod{}, ReportTokenGone{}, UpdateMandate{}, RecordGatewayDetach{}, RecordGatewayCancel{}, VerifyMethod{}, RecordVerification{}, ConfirmVerification{},
		ResendDeposits{}, ExpireVerification{}, ReportReplacement{}, ReportDecline{}, ReplaceInstrument{}, ReplaceWith{}, CreateSetupIntent{},
		ConfirmSetupIntent{}, ApproveSetupIntent{}, ResolveSetupIntent{}, CancelSetupIntent{}, ExpireSetupIntent{}, MarkExpiry{},
		SetSubscription{}, DeleteSubscription{}, ClaimSubscription{},
	}
}

// arguments are the words of a command: plain ones in order, and key=value.
type arguments struct {
	plain []string
	named map[string]string
}

func parseArguments(words []string) arguments {
	a := arguments{named: map[string]string{}}
	for _, word := range words {
		if key, value, ok := strings.Cut(word, "="); ok {
			a.named[key] = value
		} else {
			a.plain = append(a.plain, word)
		}
	}
	return a
}

func (a arguments) has(word string) bool { return slices.Contains(a.plain, word) }

// word is the i-th plain word, or "".
func (a arguments) word(i int) string {
	if i < len(a.plain) {
		return a.plain[i]
	}
	return ""
}

// number is a named number, or what it is when it is not named.
func (a arguments) number(key string, otherwise uint64) (uint64, error) {
	if text, ok := a.named[key]; ok {
		return strconv.ParseUint(text, 10, 64)
	}
	return otherwise, nil
}

// text is a named text, or what it is when it is not named.
func (a arguments) text(key, otherwise string) string {
	if text, ok := a.named[key]; ok {
		return text
	}
	return otherwise
}

func (p *play) method(id string) Method {
	if c, ok := p.state.(*Customer); ok && c.Methods[MethodID(id)] != nil {
		return *c.Methods[MethodID(id)]
	}
	return Method{}
}

func (p *play) intent(id string) SetupIntent {
	if c, ok := p.state.(*Customer); ok && c.SetupIntents[SetupIntentID(id)] != nil {
		return *c.SetupIntents[SetupIntentID(id)]
	}
	return SetupIntent{}
}

// parseLifecycle reads the commands about what stands behind a method.
func (p *play) parseLifecycle(verb, id string, words []string) (Command, error) {
	a := parseArguments(words)
	switch verb {
	case "sync":
		return p.parseSync(id, words, a)
	case "fail":
		return FailMethod{MethodID: MethodID(id), Reason: a.word(0)}, nil
	case "gone":
		return ReportTokenGone{MethodID: MethodID(id)}, nil
	case "mark":
		return MarkExpiry{MethodID: MethodID(id), Policy: p.policy}, nil
	case "mandate":
		return parseMandate(id, a)
	case "gateway-detach":
		return RecordGatewayDetach{MethodID: MethodID(id), Failure: a.named["failure"]}, nil
	case "gateway-cancel": // of a method or an intent
		since, err := a.number("since", 0)
		cmd := RecordGatewayCancel{MethodID: MethodID(id), Since: since, Failure: a.named["failure"]}
		if p.intent(id).ID != "" {
			cmd.MethodID, cmd.SetupIntentID = "", SetupIntentID(id)
		}
		return cmd, err
	case "news":
		news, err := parseReplacement(strings.Join(words, ","))
		return ReportReplacement{MethodID: MethodID(id), Replacement: *news, Policy: p.policy}, err
	case "decline":
		return ReportDecline{MethodID: MethodID(id), Code: a.word(0), Policy: p.policy}, nil
	case "replace":
		return p.parseReplace(id, words, a)
	case "replace-with":
		return ReplaceWith{MethodID: MethodID(id), With: MethodID(a.word(0))}, nil
	case "subscription":
		return SetSubscription{Subscription: id, Status: a.word(0), MethodID: MethodID(a.word(1))}, nil
	case "drop":
		return DeleteSubscription{Subscription: id}, nil
	case "claim":
		return ClaimSubscription{Customer: id}, nil
	case "clock":
		to, err := time.Parse(time.RFC3339, id)
		return SetTestClock{Now: to}, err
	default:
		return p.parseVerifying(verb, id, a, words)
	}
}

func (p *play) parseVerifying(verb, id string, a arguments, words []string) (Command, error) {
	v := p.method(id).Verification
	switch verb {
	case "verify":
		return VerifyMethod{MethodID: MethodID(id)}, nil
	case "record": // <kind or -> [done] [failed=…] …: what the gateway answered
		asked, err := a.number("asked", v.Asked)
		cmd := RecordVerification{
			MethodID: MethodID(id), Asked: asked, Kind: Evidence(strings.TrimPrefix(a.word(0), "-")), Done: a.has("done"),
			Failed: VerificationCause(a.named["failed"]), Named: Named(a.named["named"]), ArrivalDate: a.named["arrives"], Reference: a.named["ref"],
		}
		if a.named["amount"] != "" {
			cmd.Amount, cmd.Currency = 100, "usd"
		}
		return cmd, err
	case "told": // [done] [failed=…] ref=…: what it tells later, by itself
		return RecordVerification{
			MethodID: MethodID(id), Done: a.has("done"), Failed: VerificationCause(a.named["failed"]), Reference: a.named["ref"],
		}, nil
	case "confirm":
		return ConfirmVerification{
			MethodID: MethodID(id), Named: Named(a.word(0)), Matches: a.has("right"), Reference: a.text("ref", v.Reference),
		}, nil
	case "resend":
		return ResendDeposits{
			MethodID: MethodID(id), Resent: a.text("of", v.Reference), Reference: a.named["ref"], Named: Named(a.named["named"]), ArrivalDate: "2026-01-04",
		}, nil
	case "expire-verification":
		return ExpireVerification{MethodID: MethodID(id)}, nil
	default:
		return p.parseIntent(verb, id, a, words)
	}
}

func (p *play) parseIntent(verb, id string, a arguments, words []string) (Command, error) {
	intent := SetupIntentID(id)
	version, err := a.number("version", p.intent(id).Version)
	if err != nil {
		return nil, err
	}
	switch verb {
	case "intent":
		cmd := CreateSetupIntent{
			SetupIntentID: intent, Type: Type(a.named["type"]), Usage: "off_session", Provider: "sandbox", Token: a.named["token"],
			Confirm: a.has("confirm"), SetAsDefault: a.has("default"),
		}
		if key, ok := a.named["metadata"]; ok {
			cmd.Metadata = map[string]string{stretched(key): "v"}
		}
		return cmd, nil
	case "confirm-intent":
		return ConfirmSetupIntent{SetupIntentID: intent, Token: a.named["token"]}, nil
	case "approve-intent":
		return ApproveSetupIntent{SetupIntentID: intent, Version: version}, nil
	case "resolve-intent": // action | failed | nothing | attach <id> <instrument …>
		cmd := ResolveSetupIntent{SetupIntentID: intent, Version: version, Reference: a.named["ref"]}
		switch a.word(0) {
		case "action":
			cmd.NextAction = &NextAction{Type: ActionRedirect, RedirectURL: "https://bank.example/" + a.word(1), RedirectTarget: "any"}
		case "failed":
			cmd.Failure = &SetupError{Code: Code(a.text("code", string(CodeGatewayDeclined))), Message: "declined"}
		case "attach":
			attach, err := p.parseAttach(MethodID(a.word(1)), withoutNamed(words, []string{"version"})[2:])
			if err != nil {
				return nil, err
			}
			attached := attach.(AttachMethod)
			cmd.Attach = &attached
		}
		return cmd, nil
	case "cancel-intent":
		return CancelSetupIntent{SetupIntentID: intent, Reason: CancelReason(a.word(0))}, nil
	case "expire-intent":
		return ExpireSetupIntent{SetupIntentID: intent}, nil
	default:
		return nil, fmt.Errorf("no such command")
	}
}

// approvalBy is how a gateway asks for the customer's approval.
func approvalBy(intent string) *Approval {
	return &Approval{
		SetupIntentID: SetupIntentID(intent), Reference: "set_1", RedirectURL: "https://shop.example/back",
		NextAction: NextAction{Type: ActionRedirect, RedirectURL: "https://bank.example/1", RedirectTarget: "any"},
	}
}

// parseReplacement reads "<last4>,<MM/YYYY>[,token=…][,fp=…]".
func parseReplacement(text string) (*Replacement, error) {
	a := parseArguments(strings.Split(text, ","))
	r := &Replacement{
		Card:       Card{Brand: "visa", Last4: a.word(0)},
		ProviderID: a.named["token"], Fingerprint: a.named["fp"],
	}
	at, err := time.Parse("01/2006", a.word(1))
	r.Card.ExpMonth, r.Card.ExpYear = int(at.Month()), at.Year()
	return r, err
}

func parseMandate(id string, a arguments) (Command, error) {
	m := Mandate{Reference: a.word(0), Scheme: a.word(1), Status: a.word(2)}
	var err error
	for key, into := range map[string]*time.Time{"accepted": &m.AcceptedAt, "expires": &m.ExpiresAt} {
		if text, ok := a.named[key]; ok && err == nil {
			*into, err = time.Parse(time.RFC3339, text)
		}
	}
	return UpdateMandate{MethodID: MethodID(id), Mandate: m}, err
}

func (p *play) parseSync(id string, words []string, a arguments) (Command, error) {
	others := []string{"token", "holder", "accepted", "approval"}
	attach, err := p.parseAttach(MethodID(id), withoutNamed(words, others))
	if err != nil {
		return nil, err
	}
	found := attach.(AttachMethod)
	cmd := SyncMethod{
		MethodID: found.MethodID, Provider: found.Provider, ProviderID: a.text("token", p.method(id).ProviderID), Facts: found.Facts,
		News: found.News, Personal: Personal{Holder: a.named["holder"]}, Policy: p.policy,
	}
	if by, ok := a.named["approval"]; ok {
		cmd.Approval = approvalBy(by)
	}
	if text, ok := a.named["accepted"]; ok {
		mandate := *cmd.Facts.Mandate
		mandate.AcceptedAt, err = time.Parse(time.RFC3339, text)
		cmd.Facts.Mandate = &mandate
	}
	return cmd, err
}

// parseReplace reads "<instrument> <key=value …>"; without token it is another one.
func (p *play) parseReplace(id string, words []string, a arguments) (Command, error) {
	attach, err := p.parseAttach(MethodID(id), withoutNamed(words, []string{"token"}))
	if err != nil {
		return nil, err
	}
	found := attach.(AttachMethod)
	if _, ok := a.named["fp"]; !ok {
		found.Facts.Fingerprint += "-2"
	}
	return ReplaceInstrument{
		MethodID: found.MethodID, Provider: found.Provider, ProviderID: a.text("token", found.ProviderID+"-2"), Facts: found.Facts,
		News: found.News, Policy: p.policy,
	}, nil
}

func withoutNamed(words, names []string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(word string) bool {
		key, _, named := strings.Cut(word, "=")
		return named && slices.Contains(names, key)
	})
}
