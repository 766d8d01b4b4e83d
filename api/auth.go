package api

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/projections"
)

// principal is who asks: known from the credential alone.
type principal struct {
	organization string
	mode         domain.Mode
	keyID        string
	scopes       []string // nil with every
	every        bool     // scope
	// intent: the only setup intent that is spoken of, for who shows its client
	// secret instead of a key.
	intent domain.SetupIntentID
}

func (p *principal) has(scope string) bool { return p.every || slices.Contains(p.scopes, scope) }

// authenticate finds out whose key the request carries. Whatever is wrong with a
// key, the answer is the same.
func (c *call) authenticate() error {
	text := credential(c.onlyHeader("Authorization"))
	secret := c.onlyHeader(secretHeader)
	if c.clientSide && text == "" && secret != "" {
		known, err := c.clientOf(secret)
		if err != nil {
			return err
		}
		if known {
			return nil
		}
	}
	if text != "" {
		known, err := c.principalOf(text)
		if err != nil {
			return err
		}
		if known {
			return nil
		}
	}
	if text == "" && secret == "" {
		return unauthorized()
	}
	if wait := c.limits.strike(remoteHost(c.request.RemoteAddr)); wait != "" {
		c.answer.Header().Set("Retry-After", wait)
		return domain.Refuse(codeRateLimited, "too many requests with a wrong API key came from this address")
	}
	return unauthorized()
}

func unauthorized() error {
	return domain.Refuse(codeUnauthorized, "send a valid API key as Authorization: Bearer, or as the user of Basic authentication")
}

// onlyHeader is a header that must not be there twice: who is in front of us may read
// the other one. Then it counts as missing.
func (c *call) onlyHeader(name string) string {
	if values := c.request.Header[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// credential reads the key out of an Authorization header: a bearer token, or the
// user of Basic authentication with no password.
func credential(header string) string {
	scheme, rest, ok := strings.Cut(header, " ")
	rest = strings.TrimLeft(rest, " ")
	switch {
	case !ok:
		return ""
	case strings.EqualFold(scheme, "Bearer"):
		return rest
	case strings.EqualFold(scheme, "Basic"):
		text, err := base64.StdEncoding.DecodeString(rest)
		user, password, found := strings.Cut(string(text), ":")
		if err != nil || !found || password != "" {
			return ""
		}
		return user
	default:
		return ""
	}
}

func (c *call) principalOf(text string) (bool, error) {
	if c.DevKey != "" && subtle.ConstantTimeCompare([]byte(text), []byte(c.DevKey)) == 1 {
		c.who = principal{organization: DevOrganization, mode: domain.ModeTest, keyID: "dev", every: true}
		return true, nil
	}
	key, err := ParseKey(text)
	if err != nil {
		return false, nil
	}
	row, found := c.Views.Key(key.ID)
	if !found {
		if c.limits.struckOut(remoteHost(c.request.RemoteAddr)) {
			return false, nil
		}
		// The key may have been made a moment ago, on another node even.
		if err := c.catchUp(); err != nil {
			return false, err
		}
		row, found = c.Views.Key(key.ID)
	}
	if found {
		if row.Key, err = c.keyNow(row); err != nil {
			return false, err
		}
	}
	stored := row.Key.MAC
	if !found {
		stored = unknownMAC // the comparison takes as long as for a known key
	}
	matches := c.keyMACs.matches(key.Secret, stored)
	now := c.Now()
	if !found || !matches || row.Mode != key.Mode || !row.Key.RevokedAt.IsZero() ||
		!row.Key.ExpiresAt.IsZero() && !now.Before(row.Key.ExpiresAt) {
		return false, nil
	}
	c.who = principal{organization: row.Organization, mode: row.Mode, keyID: key.ID, scopes: row.Key.Scopes}
	return true, nil
}

// unknownMAC is as long as a MAC in hex and equal to none.
var unknownMAC = strings.Repeat("-", 64)

// keyTrust is how long keys that the views know are good without the log.
const keyTrust = 15 * time.Minute

// keyNow is a key of the views as it is now. While the views are behind by more
// than MaxLag it is read from the log, so that a key that was revoked on another
// node works here no longer than that. A node that is cut off from the log goes by
// its views, and refuses everybody after keyTrust.
func (c *call) keyNow(row projections.KeyRow) (domain.APIKey, error) {
	if c.Freshness == nil {
		return row.Key, nil
	}
	f := c.Freshness()
	switch {
	case f.Behind <= c.MaxLag, f.CutOff && f.Behind <= keyTrust:
		return row.Key, nil
	case f.CutOff:
		return row.Key, domain.Refuse(domain.CodeStoreUnavailable, "this server has not reached the event store for too long to know which API keys are good")
	}
	state, _, err := c.Ledger.State(c.request.Context(), domain.OrganizationStream(row.Organization))
	if err != nil {
		return row.Key, err
	}
	return state.(*domain.Organization).Keys[row.Key.ID], nil
}

// catchUp waits until the views have reached the log's head as of now.
func (c *call) catchUp() error {
	ctx, cancel := context.WithTimeout(c.request.Context(), c.WaitTimeout)
	defer cancel()
	head, err := c.Ledger.Head(ctx)
	if err != nil {
		return err
	}
	return c.reached(ctx, head)
}

// remoteHost is the address of the peer without its port.
func remoteHost(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
