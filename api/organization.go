package api

import (
	"context"
	"net/http"
	"time"

	"github.com/pmledger/pmledger/domain"
)

// Organization is the organization as the API shows it.
type Organization struct {
	ID                string                 `json:"id" example:"acme"`
	Object            string                 `json:"object" enum:"organization" example:"organization"`
	Mode              domain.Mode            `json:"mode" enum:"test,live" example:"test"`
	Livemode          bool                   `json:"livemode"`
	DefaultPolicy     domain.DefaultPolicy   `json:"default_policy" enum:"first,explicit,latest" example:"first"`
	DuplicatePolicy   domain.DuplicatePolicy `json:"duplicate_policy" enum:"return_existing,reject,allow" example:"return_existing"`
	ExpiryWindowsDays []int                  `json:"expiry_windows_days" nullable:"false" example:"[30,7,1]"`
	TimeZone          string                 `json:"time_zone" example:"UTC"`
	RedirectHosts     []string               `json:"redirect_hosts" nullable:"false"`
	CreatedAt         *time.Time             `json:"created_at"`
	UpdatedAt         *time.Time             `json:"updated_at"`
	Version           uint64                 `json:"version" example:"1"`
}

func (c *call) shown(o *domain.Organization) Organization {
	shown := Organization{
		ID: o.ID, Object: "organization", Mode: c.who.mode, Livemode: c.who.mode == domain.ModeLive,
		DefaultPolicy: o.Settings.DefaultPolicy, DuplicatePolicy: o.Settings.DuplicatePolicy,
		ExpiryWindowsDays: o.Settings.ExpiryWindowsDays, TimeZone: o.Settings.TimeZone, RedirectHosts: o.Settings.RedirectHosts,
		CreatedAt: timeOrNull(o.CreatedAt), UpdatedAt: timeOrNull(o.UpdatedAt), Version: o.Version,
	}
	if shown.RedirectHosts == nil {
		shown.RedirectHosts = []string{}
	}
	return shown
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	utc := t.UTC()
	return &utc
}

// organization is the caller's organization as it is when the call first asks,
// folded from the log.
func (c *call) organization(ctx context.Context) (*domain.Organization, error) {
	if c.home != nil {
		return c.home, nil
	}
	state, _, err := c.Ledger.State(ctx, domain.OrganizationStream(c.who.organization))
	if err != nil {
		return nil, err
	}
	c.home = state.(*domain.Organization)
	return c.home, nil
}

// policy is what the organization has chosen, as it stands now.
func (c *call) policy(ctx context.Context) (domain.Policy, error) {
	organization, err := c.organization(ctx)
	if err != nil {
		return domain.Policy{}, err
	}
	name := organization.Settings.TimeZone
	zone, ok := c.zones.Load(name)
	if !ok {
		location, err := time.LoadLocation(name)
		if err != nil {
			return domain.Policy{}, err
		}
		zone, _ = c.zones.LoadOrStore(name, location)
	}
	return domain.Policy{Settings: organization.Settings, Location: zone.(*time.Location), MaxMethods: c.MaxMethods}, nil
}

// getOrganization answers GET /v1/organization.
func getOrganization(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	if err := c.awaitLog(); err != nil {
		return err
	}
	organization, err := c.organization(c.request.Context())
	if err != nil {
		return err
	}
	c.answer.Header()["Cache-Control"] = headerPrivate
	return c.reply(http.StatusOK, c.shown(organization))
}

// updateOrganization answers PATCH /v1/organization.
func updateOrganization(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	body, err := bind[OrganizationRequest](c)
	if err != nil {
		return err
	}
	result, err := c.command(domain.OrganizationStream(c.who.organization), domain.UpdateSettings{
		DefaultPolicy: body.DefaultPolicy, DuplicatePolicy: body.DuplicatePolicy, ExpiryWindowsDays: body.ExpiryWindowsDays,
		TimeZone: body.TimeZone, RedirectHosts: body.RedirectHosts,
	})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, c.shown(result.State.(*domain.Organization)))
}
