package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/projections"
)

// maxWebhook is the size of a webhook in bytes.
const maxWebhook = 256 << 10

// WebhookAnswer tells the provider what became of its webhook.
type WebhookAnswer struct {
	Object  string `json:"object" enum:"webhook" example:"webhook"`
	Handled int    `json:"handled" doc:"Payment methods and setup intents that it was about; 0: ignored"`
}

// takeWebhook answers POST /v1/gateways/{name}/{organization}/webhooks. The
// signature is the credential. What is about something that is not known here is
// ignored with 200, so that the provider does not send it again and again.
func takeWebhook(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	name, organization := c.params[0], c.params[1]
	body, err := c.webhookBody()
	if err != nil {
		return err
	}
	g, _ := c.Gateways[name].(gateway.Webhooks)
	secret := ""
	if g != nil && c.WebhookSecrets != nil && domain.ValidOrganization(organization) {
		secret = c.WebhookSecrets(name, organization)
	}
	if secret == "" {
		return c.wrongSignature()
	}
	notices, err := g.Notices(c.request.Header, body, secret)
	switch {
	case err != nil && gateway.KindOf(err) == gateway.Unsupported:
		return domain.Refuse(codeBodyMalformed, "this is not a webhook of the gateway")
	case err != nil:
		return c.wrongSignature()
	}
	// What it is about may have been attached a moment ago, on another node even,
	// and what is not found is ignored for good.
	if err := c.catchUp(); err != nil {
		return err
	}
	row, _ := c.Views.Organization(organization)
	c.who = principal{organization: organization, mode: row.Mode, keyID: name}
	c.actor = "gateway:" + name
	handled := 0
	for _, n := range notices {
		done, err := (&notice{Notice: n, call: c, gateway: name}).take()
		if err != nil {
			return err
		}
		handled += done
	}
	return c.reply(http.StatusOK, WebhookAnswer{Object: "webhook", Handled: handled})
}

func (c *call) webhookBody() ([]byte, error) {
	if c.request.Body == nil {
		return nil, domain.Refuse(codeBodyMalformed, "this call needs a body")
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.answer, c.request.Body, maxWebhook))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return nil, domain.Refuse(codeBodyTooLarge, "a webhook may have %d bytes", maxWebhook)
	}
	if err != nil {
		return nil, domain.Refuse(codeBodyMalformed, "the body ended early")
	}
	return body, nil
}

// wrongSignature is the answer to a wrong signature and to a pair of gateway and
// organization that has no secret: who guesses learns nothing.
func (c *call) wrongSignature() error {
	if wait := c.limits.strike(remoteHost(c.request.RemoteAddr)); wait != "" {
		c.answer.Header().Set("Retry-After", wait)
		return domain.Refuse(codeRateLimited, "too many webhooks with a wrong signature came from this address")
	}
	return domain.Refuse(codeUnauthorized, "the webhook's signature is wrong or too old, or webhooks are not configured here")
}

// notice is what a provider told, on its way to commands.
type notice struct {
	gateway.Notice
	call    *call
	gateway string
}

// take executes what the notice calls for, and counts what it was about.
func (n *notice) take() (int, error) {
	if n.Setup != nil || n.SetupFailed != nil {
		return n.takeSetup()
	}
	methods, err := n.methods()
	if err != nil {
		return 0, err
	}
	for _, m := range methods {
		if err := n.takeMethod(m); err != nil {
			return 0, err
		}
	}
	return len(methods), nil
}

// subject is a payment method that a notice is about.
type subject struct {
	id     domain.MethodID
	stream string
}

// methods finds the payment methods that the notice's token stands behind: of
// several customers, perhaps.
func (n *notice) methods() (found []subject, err error) {
	if n.Token == "" {
		return nil, nil
	}
	c := n.call
	q := projections.MethodQuery{Provider: n.gateway, ProviderID: n.Token, Limit: projections.MaxLimit}
	for {
		page, err := c.Views.Methods(c.who.organization, q)
		if err != nil {
			return nil, err
		}
		for _, item := range page.Items {
			var m struct{ ID domain.MethodID }
			if err := json.Unmarshal(item, &m); err != nil {
				return nil, err
			}
			row, ok, err := c.Views.Method(c.who.organization, m.ID)
			if err != nil {
				return nil, err
			}
			if ok {
				found = append(found, subject{m.ID, row.Stream})
			}
		}
		if page.Next == "" {
			return found, nil
		}
		q.After = page.Next
	}
}

// takeMethod executes the command for one payment method, once for each event of
// the provider. A refusal is the ledger's answer, not a fault of the provider's.
func (n *notice) takeMethod(about subject) error {
	customer, err := n.call.customerNow(about.stream)
	if err != nil {
		return err
	}
	m, ok := customer.Methods[about.id]
	if !ok {
		return nil
	}
	if old, err := n.ofEarlier(about.stream, m); err != nil || old {
		return err
	}
	_, err = n.execute(about.stream, string(about.id), func(ctx context.Context) (domain.Command, error) {
		policy, err := n.call.policy(ctx)
		if err != nil {
			return nil, err
		}
		return n.command(m, policy), nil
	})
	return err
}

// command is what the notice means for a method, or nil.
func (n *notice) command(m *domain.Method, policy domain.Policy) domain.Command {
	switch {
	case n.Replacement != nil:
		return domain.ReportReplacement{MethodID: m.ID, Replacement: *n.Replacement, Policy: policy}
	case n.Mandate != nil:
		return domain.UpdateMandate{MethodID: m.ID, Mandate: *n.Mandate}
	case n.Detached:
		return domain.ReportTokenGone{MethodID: m.ID}
	case n.Facts != nil && m.Status == domain.StatusPending:
		return domain.SyncMethod{
			MethodID: m.ID, Provider: n.gateway, ProviderID: n.Token, Facts: n.Facts.Facts, News: n.Facts.News, Policy: policy,
			Personal: domain.Personal{Holder: n.Facts.Holder, Email: n.Facts.Email},
		}
	case n.Facts != nil && n.Facts.Card != nil:
		// Other details of a card that is stored already are the account updater's news, whoever found them.
		return domain.ReportReplacement{MethodID: m.ID, Replacement: domain.Replacement{Card: *n.Facts.Card, Fingerprint: n.Facts.Fingerprint}, Policy: policy}
	case n.Verified != "" || n.Unverified != "":
		return n.verification(m)
	default:
		return nil
	}
}

// ofEarlier tells whether the notice is about a verification of the method that was
// begun before the one it waits for now. Where the provider has not answered yet,
// only the history tells the references of the two apart.
func (n *notice) ofEarlier(stream string, m *domain.Method) (bool, error) {
	v := m.Verification
	if n.Reference == "" || v.Status != domain.VerificationPending || v.Kind != "" {
		return false, nil
	}
	for past, err := range n.call.Ledger.History(n.call.request.Context(), stream, 1) {
		if err != nil {
			return false, err
		}
		if begun, ok := past.Event.(domain.VerificationStarted); ok && begun.MethodID == m.ID && begun.Reference == n.Reference {
			return true, nil
		}
	}
	return false, nil
}

// verification is the command for what the provider says of a verification. One
// about an earlier verification says nothing of this one; nor, while the provider
// has not answered, does the end of one that has never been heard of.
func (n *notice) verification(m *domain.Method) domain.Command {
	v := m.Verification
	if v.Status != domain.VerificationPending || v.Reference != "" && n.Reference != "" && v.Reference != n.Reference {
		return nil
	}
	if v.Kind == "" && n.Unverified != "" && n.Reference != "" {
		return nil
	}
	told := domain.RecordVerification{MethodID: m.ID, Kind: n.Verified, Done: n.Verified != "", Failed: n.Unverified, Reference: n.Reference}
	if v.Kind == "" {
		told.Asked = v.Asked // the gateway is faster than its answer to the request
	} else if told.Reference == "" {
		told.Reference = v.Reference
	}
	return told
}

// errNothing ends a command that there is none of.
var errNothing = errors.New("the notice calls for nothing")

// execute runs a command under an id that follows from the provider's event, so
// that the event has one effect however often it is sent. Refusals are logged.
func (n *notice) execute(stream, subject string, prepare func(context.Context) (domain.Command, error)) (eventstore.Result, error) {
	c := n.call
	now, err := c.testClock()
	if err != nil {
		return eventstore.Result{}, err
	}
	mac := newMAC(c.Secrets.RequestMAC)
	for _, part := range []string{"webhook", n.gateway, c.who.organization, n.ID, subject} {
		mac.text(part)
	}
	id := hex.EncodeToString(mac.Sum(nil))
	c.commandID = "webhook·" + id // no Idempotency-Key holds such a character
	result, err := c.Ledger.Execute(c.request.Context(), eventstore.Request{
		Stream: stream, CommandID: c.commandID, RequestMAC: id, Actor: c.actor, Reason: c.gatewayEvent(n.ID), Correlation: c.id, Now: now,
		Prepare: func(ctx context.Context) (domain.Command, error) {
			cmd, err := prepare(ctx)
			if err == nil && cmd == nil {
				err = errNothing
			}
			return cmd, err
		},
	})
	switch code := domain.CodeOf(err); {
	case err == nil || errors.Is(err, errNothing):
		return result, nil
	case outcomes[code].status < http.StatusInternalServerError && code != domain.CodeConflict:
		c.Logger.Info("a notice of a gateway was refused", "request_id", c.id, "gateway", n.gateway, "code", string(code))
		return result, nil
	default:
		return result, err
	}
}

// gatewayEvent names the provider's event in the record, when it is a plain id.
func (c *call) gatewayEvent(id string) string {
	if len(id) > maxKey || !consistsOf(id, requestIDCharacters) || domain.ContainsPANInNumberField(id) {
		return ""
	}
	return "event " + id
}

// takeSetup is for a setup intent: it is found by the provider's reference, and
// the provider asked what became of it. So nothing rests on the notice alone.
func (n *notice) takeSetup() (int, error) {
	c := n.call
	row, found, err := c.Views.SetupIntentByReference(c.who.organization, n.gateway, n.Reference)
	if err != nil || !found {
		return 0, err
	}
	customer, err := c.customerNow(row.Stream)
	if err != nil {
		return 0, err
	}
	s := customer.SetupIntents[row.Intent.ID]
	if s == nil || s.Status != domain.SetupNeedsAction || n.Setup != nil && n.Setup.NextAction != nil {
		return 1, nil // the worker asks by itself while the provider is at work
	}
	result, err := n.execute(row.Stream, string(s.ID), func(context.Context) (domain.Command, error) {
		return domain.ApproveSetupIntent{SetupIntentID: s.ID, Version: s.Version}, nil
	})
	if err != nil || result.State == nil {
		return 1, err
	}
	_, err = c.work(row.Stream, result)
	return 1, err
}
