package api

import (
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/projections"
)

// secretHeader carries the client secret of a setup intent. It is never read from
// a query: those end up in logs and histories.
const secretHeader = "Setup-Intent-Secret"

// clientActor is who asks with a client secret.
const clientActor = "client_secret"

// clientSecret is the text with which a buyer's page may look at a setup intent
// and confirm it. It is computed when it is shown, and stored nowhere.
func (s Secrets) clientSecret(id domain.SetupIntentID) string {
	mac := newMAC(s.ClientSecrets)
	mac.text(string(id))
	return string(id) + "_secret_" + hex.EncodeToString(mac.Sum(nil))
}

// intentOf is the setup intent whose client secret this is.
func (s Secrets) intentOf(secret string) (domain.SetupIntentID, bool) {
	text, _, _ := strings.Cut(secret, "_secret_")
	id := domain.SetupIntentID(text)
	return id, id.Valid() && subtle.ConstantTimeCompare([]byte(secret), []byte(s.clientSecret(id))) == 1
}

// clientOf finds out which setup intent a client secret speaks of.
func (c *call) clientOf(secret string) (bool, error) {
	id, ok := c.Secrets.intentOf(secret)
	if !ok {
		return false, nil
	}
	row, found, err := c.anyIntent(id)
	if err != nil || !found {
		return false, err
	}
	c.speakFor(row.Intent, c.scope)
	return true, nil
}

// speakFor makes the request one of the intent's buyer, who may do what the scope
// allows with this intent alone.
func (c *call) speakFor(s *domain.SetupIntent, scope string) {
	organization, _ := c.Views.Organization(s.Organization)
	c.who = principal{organization: s.Organization, mode: organization.Mode, keyID: string(s.ID), scopes: []string{scope}, intent: s.ID}
}

// anyIntent finds a setup intent of any organization. Before it says that there is
// none, it waits for the log's head as of now.
func (c *call) anyIntent(id domain.SetupIntentID) (projections.SetupIntentRow, bool, error) {
	return c.findIntent("", id)
}

func (c *call) findIntent(organization string, id domain.SetupIntentID) (projections.SetupIntentRow, bool, error) {
	row, found, err := c.Views.SetupIntent(organization, id)
	if err == nil && !found {
		if err = c.catchUp(); err == nil {
			row, found, err = c.Views.SetupIntent(organization, id)
		}
	}
	c.seen = c.Views.Position()
	return row, found, err
}

// allowPages lets web pages of any origin make the call: what they need is the
// client secret, not a cookie. It tells whether the request only asked for that.
func (c *call) allowPages() (preflight bool) {
	h := c.answer.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "ETag, Idempotency-Replayed, Retry-After, X-Request-Id")
	if c.request.Method != http.MethodOptions {
		return false
	}
	h.Set("Access-Control-Allow-Methods", c.method)
	h.Set("Access-Control-Allow-Headers", secretHeader+", Content-Type, Idempotency-Key, X-Request-Id, Traceparent")
	h.Set("Access-Control-Max-Age", "7200")
	c.answer.WriteHeader(http.StatusNoContent)
	return true
}

// returnState proves that somebody was sent to the provider when the setup intent
// was at this version, 0 for the version it was created with.
func (s Secrets) returnState(id domain.SetupIntentID, version uint64) string {
	mac := newMAC(s.Returns)
	mac.text(string(id))
	mac.text(strconv.FormatUint(version, 10))
	return strconv.FormatUint(version, 10) + "." + hex.EncodeToString(mac.Sum(nil)[:16])
}

// sentAt reads a state that returnState made.
func (s Secrets) sentAt(id domain.SetupIntentID, state string) (version uint64, ok bool) {
	digits, _, _ := strings.Cut(state, ".")
	version, err := strconv.ParseUint(digits, 10, 64)
	return version, err == nil && subtle.ConstantTimeCompare([]byte(state), []byte(s.returnState(id, version))) == 1
}

// ReturnURL tells where a provider sends the buyer back to who has to approve a
// setup intent, as the intent stands while the provider is asked: "" without a
// publicURL, which is that of Options.
func (s Secrets) ReturnURL(publicURL string) func(*domain.SetupIntent) string {
	return func(intent *domain.SetupIntent) string { return s.returnURL(publicURL, intent.ID, intent.Version) }
}

func (s Secrets) returnURL(publicURL string, id domain.SetupIntentID, version uint64) string {
	if publicURL == "" {
		return ""
	}
	return publicURL + "/v1/setup-intents/" + string(id) + "/return?state=" + url.QueryEscape(s.returnState(id, version))
}
