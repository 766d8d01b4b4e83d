package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/pmledger/pmledger/api"
	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
)

// operator is the actor of changes made by the commands of this program.
const operator = "operator"

func (p *program) keysCommand() *cobra.Command {
	return group("keys", "Create, list and revoke API keys on the log",
		p.keysCreateCommand(), p.keysListCommand(), p.keysRevokeCommand())
}

// keyRequest are the flags of keys create.
type keyRequest struct {
	organization, name, expiresAt string
	scopes                        []string
	live                          bool
}

func (p *program) keysCreateCommand() *cobra.Command {
	var r keyRequest
	cmd := &cobra.Command{
		Use:   "create --organization <id> --scopes <scope,…>",
		Short: "Create an API key and print it, this once",
		Long: "Creates an API key. The first key of an organization fixes whether it is a test or\n" +
			"a live organization. The scope \"all\" stands for every scope:\n  " + strings.Join(api.Scopes(), "\n  ") + "\n\n" +
			"With --store disk it opens the log, so the server must be stopped. While it runs, use\n" +
			"POST /v1/api-keys with a key that has keys.admin.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := r.check(time.Now())
			if err != nil {
				return usageError{err}
			}
			return p.onLedger(cmd, openTruth, func(ctx context.Context, t *truth) error { return p.createKey(ctx, t, r, key) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.organization, "organization", "", "organization the key belongs to")
	f.StringSliceVar(&r.scopes, "scopes", nil, "what the key may do, separated by commas")
	f.StringVar(&r.name, "name", "", "what the key is for, in your words")
	f.StringVar(&r.expiresAt, "expires-at", "", "when it stops working, such as 2027-01-31T00:00:00Z; empty: never")
	f.BoolVar(&r.live, "live", false, "a key of a live organization (pml_live_…); without it, of a test organization (pml_test_…)")
	return cmd
}

// check names everything that is wrong with the flags, and makes the key they
// ask for, without its secret.
func (r keyRequest) check(now time.Time) (domain.APIKey, error) {
	key := domain.APIKey{Name: r.name, Scopes: r.scopes}
	if slices.Equal(r.scopes, []string{"all"}) {
		key.Scopes = api.Scopes()
	}
	var faults []error
	if !domain.ValidOrganization(r.organization) {
		faults = append(faults, errors.New("--organization: 1 to 64 letters, digits, _ or -"))
	}
	if len(key.Scopes) == 0 {
		faults = append(faults, fmt.Errorf("--scopes: name at least one of %s, or all", strings.Join(api.Scopes(), ", ")))
	}
	for i, scope := range key.Scopes {
		if !api.ValidScope(scope) {
			faults = append(faults, fmt.Errorf("--scopes: there is no scope %q", scope))
		} else if slices.Contains(key.Scopes[:i], scope) {
			faults = append(faults, fmt.Errorf("--scopes: %s stands there twice", scope))
		}
	}
	if !utf8.ValidString(r.name) || utf8.RuneCountInString(r.name) > 255 || strings.ContainsFunc(r.name, unicode.IsControl) || domain.ContainsPAN(r.name) {
		faults = append(faults, errors.New("--name: 255 characters at most, in UTF-8, no control characters and no card number"))
	}
	if r.expiresAt != "" {
		at, err := time.Parse(time.RFC3339, r.expiresAt)
		if err != nil || !at.After(now) {
			faults = append(faults, errors.New("--expires-at: a time to come, such as 2027-01-31T00:00:00Z"))
		}
		key.ExpiresAt = at.UTC().Truncate(time.Millisecond)
	}
	return key, errors.Join(faults...)
}

// shownKey is a key as the keys commands print it with --json.
type shownKey struct {
	ID           string     `json:"id"`
	Object       string     `json:"object"`
	Organization string     `json:"organization_id"`
	Mode         string     `json:"mode"`
	Name         *string    `json:"name"`
	Scopes       []string   `json:"scopes"`
	CreatedAt    time.Time  `json:"created_at"`
	ExpiresAt    *time.Time `json:"expires_at"`
	RevokedAt    *time.Time `json:"revoked_at"`
	Key          string     `json:"key,omitempty"` // only once, by keys create
}

func show(o *domain.Organization, key domain.APIKey, text string) shownKey {
	return shownKey{
		ID: key.ID, Object: "api_key", Organization: o.ID, Mode: string(o.Mode), Name: orNil(key.Name), Scopes: key.Scopes,
		CreatedAt: key.CreatedAt, ExpiresAt: orNil(key.ExpiresAt), RevokedAt: orNil(key.RevokedAt), Key: text,
	}
}

// orNil is nil for what is not there.
func orNil[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

func (p *program) createKey(ctx context.Context, t *truth, r keyRequest, key domain.APIKey) error {
	mode := domain.ModeTest
	if r.live {
		mode = domain.ModeLive
	}
	text, minted, err := api.MintKey(mode, rand.Reader)
	if err != nil {
		return err
	}
	key.ID, key.MAC = minted.ID, t.secrets.KeyMAC(minted.Secret)
	o, err := changeOrganization(ctx, t, r.organization, domain.CreateKey{Mode: mode, Key: key})
	if err != nil {
		return err
	}
	if p.json {
		return p.printJSON(show(o, o.Keys[key.ID], text))
	}
	p.say("created key %s of the %s organization %s; this is the only time it is shown:", key.ID, mode, o.ID)
	_, err = fmt.Fprintln(p.stdout, text)
	return err
}

// changeOrganization runs a command against an organization's stream.
func changeOrganization(ctx context.Context, t *truth, organization string, cmd domain.Command) (*domain.Organization, error) {
	ledger, stream := t.ledger(), domain.OrganizationStream(organization)
	state, _, err := ledger.State(ctx, stream)
	if err != nil {
		return nil, err
	}
	result, err := ledger.Execute(ctx, eventstore.Request{
		Stream: stream, Actor: operator, Now: state.(*domain.Organization).Clock, // the test clock, if it has one
		Prepare: func(context.Context) (domain.Command, error) { return cmd, nil },
	})
	if err != nil {
		return nil, err
	}
	return result.State.(*domain.Organization), nil
}

func (p *program) keysListCommand() *cobra.Command {
	var organization string
	cmd := &cobra.Command{
		Use: "list --organization <id>", Short: "List the API keys of an organization", Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !domain.ValidOrganization(organization) {
				return usageError{errors.New("--organization: name one")}
			}
			return p.onLedger(cmd, openExisting, func(ctx context.Context, t *truth) error {
				state, _, err := t.ledger().State(ctx, domain.OrganizationStream(organization))
				if err != nil {
					return err
				}
				return p.printKeys(state.(*domain.Organization))
			})
		},
	}
	cmd.Flags().StringVar(&organization, "organization", "", "organization whose keys to list")
	return cmd
}

func (p *program) printKeys(o *domain.Organization) error {
	keys := []shownKey{}
	for _, id := range slices.Sorted(maps.Keys(o.Keys)) {
		keys = append(keys, show(o, o.Keys[id], ""))
	}
	slices.SortStableFunc(keys, func(a, b shownKey) int { return a.CreatedAt.Compare(b.CreatedAt) })
	if p.json {
		return p.printJSON(keys)
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tMODE\tCREATED\tEXPIRES\tREVOKED\tSCOPES\tNAME")
	for _, k := range keys {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Mode, day(&k.CreatedAt), day(k.ExpiresAt), day(k.RevokedAt), scopesText(k.Scopes), printable(o.Keys[k.ID].Name))
	}
	return table.Flush()
}

func scopesText(scopes []string) string {
	if len(scopes) == len(api.Scopes()) {
		return "all"
	}
	return strings.Join(scopes, ",")
}

// printable is a text without what a terminal would obey.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

func day(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Format(time.RFC3339)
}

func (p *program) keysRevokeCommand() *cobra.Command {
	var organization string
	cmd := &cobra.Command{
		Use: "revoke <key id> --organization <id>", Short: "Switch an API key off, for good", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !domain.ValidOrganization(organization) {
				return usageError{errors.New("--organization: name the one the key belongs to")}
			}
			return p.onLedger(cmd, openExisting, func(ctx context.Context, t *truth) error {
				o, err := changeOrganization(ctx, t, organization, domain.RevokeKey{KeyID: args[0]})
				if err != nil {
					return err
				}
				if p.json {
					return p.printJSON(show(o, o.Keys[args[0]], ""))
				}
				p.say("key %s of organization %s is revoked", args[0], organization)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&organization, "organization", "", "organization the key belongs to")
	return cmd
}
