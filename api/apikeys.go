package api

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pmledger/pmledger/domain"
)

// APIKey is an API key as the API shows it. Its text is shown once, by the answer
// that issued it.
type APIKey struct {
	ID        string      `json:"id" example:"k7c2m5q3xvna"`
	Object    string      `json:"object" enum:"api_key" example:"api_key"`
	Name      *string     `json:"name"`
	Scopes    []string    `json:"scopes" nullable:"false"`
	Mode      domain.Mode `json:"mode" enum:"test,live" example:"test"`
	CreatedAt time.Time   `json:"created_at"`
	ExpiresAt *time.Time  `json:"expires_at"`
	RevokedAt *time.Time  `json:"revoked_at"`
}

// IssuedKey is an API key with its text: null in the answer to a repeat, which
// does not have it any more.
type IssuedKey struct {
	APIKey
	Key *string `json:"key" example:"pml_test_…" doc:"Shown this once; null in the answer to a repeat"`
}

func shownKey(key domain.APIKey, mode domain.Mode) APIKey {
	shown := APIKey{
		ID: key.ID, Object: "api_key", Scopes: key.Scopes, Mode: mode, CreatedAt: key.CreatedAt.UTC(),
		ExpiresAt: timeOrNull(key.ExpiresAt), RevokedAt: timeOrNull(key.RevokedAt),
	}
	if key.Name != "" {
		shown.Name = &key.Name
	}
	return shown
}

// createKey answers POST /v1/api-keys. Nobody can give away a scope that they do
// not have.
func createKey(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	body, err := bind[KeyRequest](c)
	if err != nil {
		return err
	}
	for _, scope := range body.Scopes {
		if !c.who.has(scope) {
			return domain.Refuse(domain.CodeForbidden, "the API key cannot give the scope %s, which it lacks itself", scope)
		}
	}
	var text *string
	result, err := c.execute(domain.OrganizationStream(c.who.organization), func(context.Context) (domain.Command, error) {
		// Here, and not before: the repeat of a request whose key has expired since is still a repeat.
		if body.ExpiresAt.Value != nil && !body.ExpiresAt.Value.After(c.Now()) {
			c.add("body.expires_at", "must be in the future")
			return nil, c.checked()
		}
		minted, key, err := MintKey(c.who.mode, c.Random)
		if err != nil {
			return nil, err
		}
		text = &minted
		return domain.CreateKey{Mode: c.who.mode, Key: domain.APIKey{
			ID: key.ID, MAC: c.Secrets.KeyMAC(key.Secret), Name: body.Name.or(""), Scopes: body.Scopes,
			ExpiresAt: body.ExpiresAt.or(time.Time{}).UTC().Truncate(time.Millisecond),
		}}, nil
	})
	if err != nil {
		return err
	}
	if result.Replayed {
		text = nil // one was minted all the same when another node was faster
	}
	for _, e := range result.Events {
		if created, ok := e.(domain.KeyCreated); ok {
			c.settle()
			return c.reply(http.StatusCreated, IssuedKey{APIKey: shownKey(created.Key, c.who.mode), Key: text})
		}
	}
	return domain.Refuse(domain.CodeInternal, "the API key was not recorded")
}

// settle waits, for a while, until this node's views know of the write: a key that was
// just issued works here, one that was just revoked works no more, and elsewhere after
// Options.MaxLag. (Where a key is not known it is looked for at the log's head, but not
// for an address that has sent too many wrong ones.)
func (c *call) settle() {
	ctx, cancel := context.WithTimeout(c.request.Context(), c.WaitTimeout)
	defer cancel()
	_ = c.Views.Wait(ctx, c.seen) // the write stands either way
}

// listKeys answers GET /v1/api-keys, newest first, revoked ones included.
func listKeys(c *call) error {
	limit := c.queryLimit()
	if err := c.checked(); err != nil {
		return err
	}
	after, err := c.cursorPlace()
	if err != nil {
		return err
	}
	if err := c.awaitLog(); err != nil {
		return err
	}
	organization, err := c.organization(c.request.Context())
	if err != nil {
		return err
	}
	keys := make([]domain.APIKey, 0, len(organization.Keys))
	for _, key := range organization.Keys {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b domain.APIKey) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(b.ID, a.ID))
	})
	if i := slices.IndexFunc(keys, func(k domain.APIKey) bool { return k.ID == after }); i >= 0 {
		keys = keys[i+1:]
	}
	next := ""
	if len(keys) > limit {
		keys = keys[:limit]
		next = keys[limit-1].ID
	}
	items := make([][]byte, len(keys))
	for i, key := range keys {
		if items[i], err = json.Marshal(shownKey(key, organization.Mode)); err != nil {
			return err
		}
	}
	return c.list(items, next)
}

// revokeKey answers DELETE /v1/api-keys/{id}. A revoked key stays in the list.
func revokeKey(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	id := c.params[0]
	if !validKeyID(id) {
		return keyNotFound()
	}
	result, err := c.command(domain.OrganizationStream(c.who.organization), domain.RevokeKey{KeyID: id})
	if domain.CodeOf(err) == domain.CodeKeyNotFound {
		return keyNotFound()
	}
	if err != nil {
		return err
	}
	c.settle()
	return c.reply(http.StatusOK, shownKey(result.State.(*domain.Organization).Keys[id], c.who.mode))
}

func keyNotFound() error {
	return domain.Refuse(domain.CodeKeyNotFound, "there is no such API key")
}
