package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/planted"
	"github.com/pmledger/pmledger/projections"
)

// SetupIntentRequest begins collecting a payment method.
type SetupIntentRequest struct {
	CustomerID   string               `json:"customer_id" pattern:"^[A-Za-z0-9_.:@-]{1,128}$" patternDescription:"1 to 128 characters of A-Z a-z 0-9 _ . : @ -" example:"cus_1" doc:"Not . or .."`
	Type         *domain.Type         `json:"type,omitempty" enum:"card,bank_account,direct_debit,paypal,wallet,twint,other" doc:"Left out: any"`
	Usage        *string              `json:"usage,omitempty" enum:"on_session,off_session" doc:"off_session when left out"`
	Provider     *string              `json:"provider,omitempty" minLength:"1" maxLength:"64" doc:"Name of a configured gateway; the default one when left out"`
	Token        *string              `json:"token,omitempty" minLength:"1" maxLength:"255" pattern:"^[!-~]+$" patternDescription:"printable ASCII without spaces" example:"tok_visa" doc:"The gateway's token, when it is known already; never a card number"`
	Confirm      *bool                `json:"confirm,omitempty" doc:"Ask the gateway about the token at once"`
	RedirectURL  orNull[string]       `json:"redirect_url,omitzero" format:"uri" maxLength:"2048" doc:"Where the buyer returns to after an approval; https, without user and fragment, on an allowed host of the organization"`
	SetAsDefault *bool                `json:"set_as_default,omitempty" doc:"Make the payment method the customer's default"`
	Metadata     orNull[metadataBody] `json:"metadata,omitzero" doc:"Up to 50 keys of 1 to 40 characters without control characters, values of up to 500"`
}

// ConfirmSetupRequest asks the gateway about a token.
type ConfirmSetupRequest struct {
	Token *string `json:"token,omitempty" minLength:"1" maxLength:"255" pattern:"^[!-~]+$" patternDescription:"printable ASCII without spaces" example:"tok_visa" doc:"The gateway's token; never a card number. Left out: the one given before"`
}

// CancelSetupRequest ends a setup intent.
type CancelSetupRequest struct {
	Reason *domain.CancelReason `json:"cancellation_reason,omitempty" enum:"abandoned,requested_by_customer,duplicate" doc:"requested_by_customer when left out"`
}

// SetupIntent is the act of collecting a payment method on the client's side.
type SetupIntent struct {
	ID           string                    `json:"id" pattern:"^seti_[0-9a-f]{32}$" example:"seti_0197b2a4c6e87d10a1b2c3d4e5f60718"`
	Object       string                    `json:"object" enum:"setup_intent"`
	CustomerID   *string                   `json:"customer_id"`
	ClientSecret *string                   `json:"client_secret" doc:"For the buyer's page, in the header Setup-Intent-Secret; null in events"`
	Status       domain.SetupStatus        `json:"status" enum:"requires_payment_method,requires_confirmation,requires_action,processing,succeeded,canceled"`
	Type         *domain.Type              `json:"type" enum:"card,bank_account,direct_debit,paypal,wallet,twint,other"`
	Usage        string                    `json:"usage" enum:"on_session,off_session"`
	MethodID     *string                   `json:"payment_method_id" doc:"The attached payment method"`
	NextAction   orNull[NextAction]        `json:"next_action"`
	LastError    orNull[SetupError]        `json:"last_error" doc:"Why the last attempt failed; another token may be tried"`
	CancelReason *domain.CancelReason      `json:"cancellation_reason" enum:"abandoned,requested_by_customer,duplicate"`
	Metadata     orNull[map[string]string] `json:"metadata" doc:"null in events, and for the buyer's page"`
	CreatedAt    string                    `json:"created_at" format:"date-time"`
	ExpiresAt    string                    `json:"expires_at" format:"date-time" doc:"Then it is canceled as abandoned"`
	Version      uint64                    `json:"version" doc:"Of the customer's stream at the setup intent's last change; also its ETag"`
}

// SetupError is why an attempt failed.
type SetupError struct {
	Code    domain.Code `json:"code" example:"gateway.declined"`
	Message string      `json:"message"`
}

func setupIntentNotFound() error {
	return domain.Refuse(domain.CodeSetupIntentNotFound, "there is no such setup intent")
}

// createSetupIntent answers POST /v1/setup-intents.
func createSetupIntent(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	body, err := bind[SetupIntentRequest](c)
	if err != nil {
		return err
	}
	if body.CustomerID == "." || body.CustomerID == ".." {
		c.add("body.customer_id", "must not be . or ..")
	}
	confirm := body.Confirm != nil && *body.Confirm
	if confirm && body.Token == nil {
		c.add("body.token", "is required to confirm")
	}
	provider, _, forbidden := c.gatewayOf(body.Provider)
	if err := c.checkRedirect(body.RedirectURL); err != nil {
		return err
	}
	if err := c.checked(); err != nil {
		return err
	}
	if forbidden != nil {
		return forbidden
	}
	cmd := domain.CreateSetupIntent{
		Usage: "off_session", Provider: provider, Token: textOf(body.Token), Confirm: confirm, RedirectURL: body.RedirectURL.or(""),
		SetAsDefault: body.SetAsDefault != nil && *body.SetAsDefault, Metadata: metadataOf(body.Metadata.Value),
	}
	if body.Type != nil {
		cmd.Type = *body.Type
	}
	if body.Usage != nil {
		cmd.Usage = *body.Usage
	}
	stream := domain.CustomerStream(c.who.organization, body.CustomerID, "")
	result, err := c.execute(stream, func(context.Context) (domain.Command, error) {
		cmd.SetupIntentID = domain.NewSetupIntentID(c.NewID())
		return cmd, nil
	})
	if err != nil {
		return err
	}
	id := domain.SetupIntentID("")
	for _, e := range result.Events {
		if created, ok := e.(domain.SetupIntentCreated); ok {
			id = created.SetupIntentID
		}
	}
	c.answer.Header()["Location"] = []string{"/v1/setup-intents/" + string(id)}
	return c.setUp(http.StatusCreated, stream, result, id)
}

// setUp asks the gateway what the command calls for, and answers with the intent.
func (c *call) setUp(status int, stream string, result eventstore.Result, id domain.SetupIntentID) error {
	result, err := c.work(stream, result)
	if err != nil {
		return err
	}
	s, ok := result.State.(*domain.Customer).SetupIntents[id]
	if !ok {
		return setupIntentNotFound()
	}
	c.answer.Header()["Etag"] = []string{etagOf(s.Version)}
	return c.json(status, c.renderIntent(s))
}

// renderIntent writes a setup intent for who asks. What the merchant noted in its
// metadata is not for the buyer's page.
func (c *call) renderIntent(s *domain.SetupIntent) []byte {
	if c.who.intent != "" {
		shown := *s
		shown.Metadata = nil
		s = &shown
	}
	return projections.RenderSetupIntent(s, c.Secrets.clientSecret(s.ID))
}

// checkRedirect: when the organization names the hosts it returns buyers to, no
// other is taken. What is no URL is a fault already.
func (c *call) checkRedirect(to orNull[string]) error {
	if to.Value == nil || wrongURL(*to.Value) != "" {
		return nil
	}
	organization, err := c.organization(c.request.Context())
	if err != nil {
		return err
	}
	u, err := url.Parse(*to.Value)
	hosts := organization.Settings.RedirectHosts
	if err != nil || len(hosts) > 0 && !slices.Contains(hosts, strings.ToLower(u.Hostname())) {
		c.add("body.redirect_url", "must be on a host that the organization allows")
	}
	return nil
}

// intentRow finds the setup intent in the path, of the caller's organization.
func (c *call) intentRow() (projections.SetupIntentRow, domain.SetupIntentID, error) {
	id := domain.SetupIntentID(c.params[0])
	if !id.Valid() {
		return projections.SetupIntentRow{}, id, setupIntentNotFound()
	}
	organization := c.who.organization
	if planted.AnyonesIntent.Here() {
		organization = ""
	}
	row, found, err := c.findIntent(organization, id)
	if err == nil && !found {
		err = setupIntentNotFound()
	}
	return row, id, err
}

// getSetupIntent answers GET /v1/setup-intents/{id}, folded from the log.
func getSetupIntent(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	row, id, err := c.intentRow()
	if err != nil {
		return err
	}
	if err := c.awaitLog(); err != nil {
		return err
	}
	customer, err := c.customerNow(row.Stream)
	if err != nil {
		return err
	}
	s, ok := customer.SetupIntents[id]
	if !ok {
		return setupIntentNotFound()
	}
	return c.object(c.renderIntent(s), s.Version)
}

// confirmSetupIntent answers POST /v1/setup-intents/{id}/confirm.
func confirmSetupIntent(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	body, err := bind[ConfirmSetupRequest](c)
	if err != nil {
		return err
	}
	row, id, err := c.intentRow()
	if err != nil {
		return err
	}
	result, err := c.command(row.Stream, domain.ConfirmSetupIntent{SetupIntentID: id, Token: textOf(body.Token)})
	if err != nil {
		return err
	}
	return c.setUp(http.StatusOK, row.Stream, result, id)
}

// cancelSetupIntent answers POST /v1/setup-intents/{id}/cancel.
func cancelSetupIntent(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	body, err := bind[CancelSetupRequest](c)
	if err != nil {
		return err
	}
	row, id, err := c.intentRow()
	if err != nil {
		return err
	}
	cmd := domain.CancelSetupIntent{SetupIntentID: id, Reason: domain.CancelRequested}
	if body.Reason != nil {
		cmd.Reason = *body.Reason
	}
	result, err := c.command(row.Stream, cmd)
	if err != nil {
		return err
	}
	return c.setUp(http.StatusOK, row.Stream, result, id)
}

// buyerActor is who comes back from an approval.
const buyerActor = "buyer"

// returnFromApproval answers GET /v1/setup-intents/{id}/return?state=…: the buyer
// is back from where the provider sent them. The state works once; whoever comes
// a second time is only sent on.
func returnFromApproval(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	id := domain.SetupIntentID(c.params[0])
	sent, ok := c.Secrets.sentAt(id, c.query.Get("state"))
	if !ok {
		return setupIntentNotFound()
	}
	row, found, err := c.anyIntent(id)
	if err != nil {
		return err
	}
	if !found {
		return setupIntentNotFound()
	}
	if c.request.Method == http.MethodGet {
		c.speakFor(row.Intent, ScopeSetupIntentsWrite)
		c.actor = buyerActor
		if err := c.approve(row.Stream, id, sent); err != nil {
			return err
		}
	}
	h := c.answer.Header()
	h.Set("Referrer-Policy", "no-referrer")
	if row.Intent.RedirectURL == "" {
		c.write(http.StatusOK, []string{"text/plain; charset=utf-8"}, []byte("You may close this page.\n"))
		return nil
	}
	h.Set("Location", row.Intent.RedirectURL)
	c.answer.WriteHeader(http.StatusSeeOther)
	return nil
}

// approve tells the gateway that the buyer is back, when the setup intent waits
// for the one who was sent at this version.
func (c *call) approve(stream string, id domain.SetupIntentID, sent uint64) error {
	customer, err := c.customerNow(stream)
	if err != nil {
		return err
	}
	s, ok := customer.SetupIntents[id]
	if !ok || s.Status != domain.SetupNeedsAction {
		return nil
	}
	for past, err := range c.Ledger.History(c.request.Context(), stream, sent+1) {
		if err != nil {
			return err
		}
		if asked, ok := past.Event.(domain.SetupIntentProcessing); ok && asked.SetupIntentID == id {
			return nil // the provider was asked again since; this way back is an old one
		}
	}
	result, err := c.command(stream, domain.ApproveSetupIntent{SetupIntentID: id, Version: s.Version})
	if domain.CodeOf(err) == domain.CodeSetupIntentState {
		return nil // somebody was faster, or time was
	}
	if err != nil {
		return err
	}
	_, err = c.work(stream, result)
	return err
}
