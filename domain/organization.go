package domain

import (
	"fmt"
	"slices"
	"time"
)

// Mode says whether an organization is for trying out or for real.
type Mode string

// The modes. The first key of an organization fixes its mode for good.
const (
	ModeTest Mode = "test"
	ModeLive Mode = "live"
)

// DefaultPolicy says when an attach makes the default without being asked.
type DefaultPolicy string

// The default policies.
const (
	DefaultFirst    DefaultPolicy = "first"    // the first attached method
	DefaultExplicit DefaultPolicy = "explicit" // only when asked
	DefaultLatest   DefaultPolicy = "latest"   // every newly attached method
)

// DuplicatePolicy says what attaching a known fingerprint does.
type DuplicatePolicy string

// The duplicate policies.
const (
	DuplicateReturnExisting DuplicatePolicy = "return_existing"
	DuplicateReject         DuplicatePolicy = "reject"
	DuplicateAllow          DuplicatePolicy = "allow"
)

// Settings are an organization's choices.
type Settings struct {
	DefaultPolicy     DefaultPolicy   `json:"default_policy"`
	DuplicatePolicy   DuplicatePolicy `json:"duplicate_policy"`
	ExpiryWindowsDays []int           `json:"expiry_windows_days"` // descending, days before expiry
	TimeZone          string          `json:"time_zone"`           // IANA name
	RedirectHosts     []string        `json:"redirect_hosts"`
}

// DefaultSettings are those of an organization that has chosen nothing.
func DefaultSettings() Settings {
	return Settings{
		DefaultPolicy: DefaultFirst, DuplicatePolicy: DuplicateReturnExisting,
		ExpiryWindowsDays: []int{30, 7, 1}, TimeZone: "UTC", RedirectHosts: []string{},
	}
}

// APIKey is an issued key. Its secret is not here: MAC is the keyed hash of it.
type APIKey struct {
	ID        string    `json:"id"`
	MAC       string    `json:"mac"` // hex
	Name      string    `json:"name,omitempty"`
	Scopes    []string  `json:"scopes"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	CreatedAt time.Time `json:"created_at"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// Organization is the state of one organization's stream.
type Organization struct {
	ID        string
	Version   uint64
	Mode      Mode // "" until its first key
	Settings  Settings
	Keys      map[string]APIKey
	CreatedAt time.Time
	UpdatedAt time.Time // of its settings
	Clock     time.Time // of a test organization; zero: real time
}

// Evolve folds an event into the organization.
func (o *Organization) Evolve(e Event, at time.Time) {
	o.Version++
	switch e := e.(type) {
	case OrganizationCreated:
		o.Mode, o.CreatedAt, o.UpdatedAt = e.Mode, at, at
	case OrganizationUpdated:
		o.Settings, o.UpdatedAt = e.Settings, at
	case TestClockSet:
		o.Clock = e.Now
	case KeyCreated:
		o.Keys = with(o.Keys, e.Key.ID, e.Key)
	case KeyRevoked:
		key := o.Keys[e.KeyID]
		key.RevokedAt = at
		o.Keys = with(o.Keys, key.ID, key)
	}
}

// Clone returns a copy that can evolve alone.
func (o *Organization) Clone() State {
	next := *o
	return &next
}

// Decide answers a command on one organization: forbidden for a key of the other
// mode, api_key.not_found, conflict for a key id that is taken, validation.failed
// for settings.
func (o *Organization) Decide(cmd Command, now time.Time) ([]Event, error) {
	switch cmd := cmd.(type) {
	case OpenOrganization:
		return o.open(cmd.Mode)
	case CreateKey:
		return o.createKey(cmd, now)
	case RevokeKey:
		key, ok := o.Keys[cmd.KeyID]
		if !ok {
			return nil, Refuse(CodeKeyNotFound, "there is no API key %s", cmd.KeyID)
		}
		if !key.RevokedAt.IsZero() {
			return nil, nil
		}
		return []Event{KeyRevoked{KeyID: key.ID}}, nil
	case UpdateSettings:
		return o.updateSettings(cmd)
	case SetTestClock:
		return o.setClock(cmd.Now, now)
	default:
		return nil, Refuse(CodeInternal, "an organization does not know the command %s", cmd.CommandName())
	}
}

func (o *Organization) open(mode Mode) ([]Event, error) {
	switch o.Mode {
	case mode:
		return nil, nil
	case "":
		return []Event{OrganizationCreated{Organization: o.ID, Mode: mode}}, nil
	default:
		return nil, Refuse(CodeForbidden, "organization %s is a %s organization; it cannot have %s keys", o.ID, o.Mode, mode)
	}
}

// createKey: asking again for a key that is there, unchanged and in force,
// changes nothing. A key that was revoked stays revoked.
func (o *Organization) createKey(cmd CreateKey, now time.Time) ([]Event, error) {
	events, err := o.open(cmd.Mode)
	if err != nil {
		return nil, err
	}
	if known, ok := o.Keys[cmd.Key.ID]; ok {
		if known.MAC == cmd.Key.MAC && slices.Equal(known.Scopes, cmd.Key.Scopes) && known.RevokedAt.IsZero() {
			return nil, nil
		}
		return nil, Refuse(CodeConflict, "there already is an API key %s", cmd.Key.ID)
	}
	cmd.Key.CreatedAt = now
	return append(events, KeyCreated{Key: cmd.Key}), nil
}

func (o *Organization) updateSettings(cmd UpdateSettings) ([]Event, error) {
	if err := refuseFaults(cmd.faults()); err != nil {
		return nil, err
	}
	next := o.Settings
	if cmd.DefaultPolicy != nil {
		next.DefaultPolicy = *cmd.DefaultPolicy
	}
	if cmd.DuplicatePolicy != nil {
		next.DuplicatePolicy = *cmd.DuplicatePolicy
	}
	if cmd.ExpiryWindowsDays != nil {
		windows := slices.Clone(cmd.ExpiryWindowsDays)
		slices.Sort(windows)
		windows = slices.Compact(windows)
		slices.Reverse(windows)
		next.ExpiryWindowsDays = windows
	}
	if cmd.TimeZone != nil {
		next.TimeZone = *cmd.TimeZone
	}
	if cmd.RedirectHosts != nil {
		next.RedirectHosts = cmd.RedirectHosts
	}
	if next.equal(o.Settings) {
		return nil, nil
	}
	return []Event{OrganizationUpdated{Settings: next}}, nil
}

// Limits of an organization's settings.
const (
	MaxExpiryWindows    = 10
	MaxExpiryWindowDays = 365
	MaxRedirectHosts    = 100
)

// faults names everything wrong with the settings, except a time zone that does
// not exist: which zones there are is not for the domain to know.
func (u UpdateSettings) faults() []Fault {
	var faults []Fault
	if p := u.DefaultPolicy; p != nil && *p != DefaultFirst && *p != DefaultExplicit && *p != DefaultLatest {
		faults = append(faults, fault("default_policy", "must be first, explicit or latest"))
	}
	if p := u.DuplicatePolicy; p != nil && *p != DuplicateReturnExisting && *p != DuplicateReject && *p != DuplicateAllow {
		faults = append(faults, fault("duplicate_policy", "must be return_existing, reject or allow"))
	}
	outside := func(days int) bool { return days < 1 || days > MaxExpiryWindowDays }
	if len(u.ExpiryWindowsDays) > MaxExpiryWindows || slices.ContainsFunc(u.ExpiryWindowsDays, outside) {
		faults = append(faults, fault("expiry_windows_days", fmt.Sprintf("must be at most %d numbers from 1 to %d", MaxExpiryWindows, MaxExpiryWindowDays)))
	}
	if u.TimeZone != nil && *u.TimeZone == "" {
		faults = append(faults, fault("time_zone", "must be the IANA name of a time zone, such as UTC or Europe/Zurich"))
	}
	if len(u.RedirectHosts) > MaxRedirectHosts || slices.Contains(u.RedirectHosts, "") {
		faults = append(faults, fault("redirect_hosts", fmt.Sprintf("must be at most %d host names", MaxRedirectHosts)))
	}
	return faults
}

func (s Settings) equal(t Settings) bool {
	return s.DefaultPolicy == t.DefaultPolicy && s.DuplicatePolicy == t.DuplicatePolicy && s.TimeZone == t.TimeZone &&
		slices.Equal(s.ExpiryWindowsDays, t.ExpiryWindowsDays) && slices.Equal(s.RedirectHosts, t.RedirectHosts)
}

// LastClock is how far a test clock goes: what is derived from its time (expiries,
// mandates, notices) stays far from the year 9999, the last that RFC 3339 can write.
var LastClock = time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)

// setClock refuses with forbidden (a live organization) and validation.failed
// (time does not go back, nor beyond LastClock).
func (o *Organization) setClock(to, now time.Time) ([]Event, error) {
	present := o.Clock
	if present.IsZero() {
		present = now
	}
	switch {
	case o.Mode != ModeTest:
		return nil, Refuse(CodeForbidden, "the test clock works in test organizations only")
	case to.Before(present):
		return nil, invalid("now", "must not lie before the clock's present time")
	case to.After(LastClock):
		return nil, invalid("now", "must not lie after "+LastClock.Format(time.RFC3339))
	case to.Equal(o.Clock):
		return nil, nil
	default:
		return []Event{TestClockSet{Now: to}}, nil
	}
}
