package projections

import (
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pmledger/pmledger/domain"
)

// KeyRow is an API key and whose it is.
type KeyRow struct {
	Organization string        `json:"organization"`
	Mode         domain.Mode   `json:"mode"`
	Key          domain.APIKey `json:"key"`
}

// OrganizationRow is what an organization has chosen, as the view knows it.
// Whoever decides by it folds the stream; the view serves those who only want to
// know when to look. It is shared: nobody may change it.
type OrganizationRow struct {
	Mode     domain.Mode     `json:"mode,omitempty"`
	Settings domain.Settings `json:"settings"`
	Clock    time.Time       `json:"clock,omitzero"` // of a test organization; zero: real time
}

// organizations projects the streams of organizations: every API key, revoked
// ones included, and every organization's settings and test clock.
//
// Keys are on the path of every request, so all of them are in memory, some
// 400 bytes each, and a lookup cannot fail. So are organizations.
type organizations struct {
	v *Views

	mu   sync.RWMutex
	keys map[string]KeyRow
	rows map[string]OrganizationRow

	// Since the last commit.
	changed map[string]KeyRow
	chosen  map[string]OrganizationRow
}

func newOrganizations(v *Views) *organizations {
	return &organizations{
		v: v, keys: map[string]KeyRow{}, rows: map[string]OrganizationRow{},
		changed: map[string]KeyRow{}, chosen: map[string]OrganizationRow{},
	}
}

// Organization returns what an organization has chosen. It answers from memory.
// One that nothing was ever said of has the default settings and is not found.
func (v *Views) Organization(id string) (OrganizationRow, bool) {
	o := v.organizations
	o.mu.RLock()
	defer o.mu.RUnlock()
	row, ok := o.rows[id]
	if !ok {
		row.Settings = domain.DefaultSettings()
	}
	return row, ok
}

// Key returns the API key with this id. It answers from memory.
func (v *Views) Key(keyID string) (KeyRow, bool) {
	o := v.organizations
	o.mu.RLock()
	defer o.mu.RUnlock()
	row, ok := o.keys[keyID]
	return row, ok
}

func (o *organizations) load() error {
	err := o.v.scan([]byte{tableKey}, func(_, value []byte) error {
		var row KeyRow
		err := json.Unmarshal(value, &row)
		o.keys[row.Key.ID] = row
		return err
	})
	if err != nil {
		return err
	}
	return o.v.scan([]byte{tableOrganization}, func(key, value []byte) error {
		r := reader{b: key[1:]}
		id := string(r.part())
		var row OrganizationRow
		err := json.Unmarshal(value, &row)
		o.rows[id] = row
		return err
	})
}

// scan hands every entry of a table to fn, which must not keep them.
func (v *Views) scan(table []byte, fn func(key, value []byte) error) error {
	it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: table, UpperBound: after(table)})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var value []byte
		if value, err = it.ValueAndErr(); err == nil {
			err = fn(it.Key(), value)
		}
	}
	if closeErr := it.Close(); err == nil {
		err = closeErr
	}
	return err
}

// Name implements Projector.
func (o *organizations) Name() string { return "organizations" }

// Takes implements Projector.
func (o *organizations) Takes(category string) bool { return category == "organization" }

// Apply implements Projector.
func (o *organizations) Apply(batch *pebble.Batch, ch Change) error {
	_, organization, _ := domain.StreamOwner(ch.Record.Stream)
	before := o.row(organization)
	known := domain.Organization{
		ID: organization, Version: ch.Record.Version - 1, Mode: before.Mode, Settings: before.Settings, Clock: before.Clock,
	}
	var id string
	switch e := ch.Event.(type) {
	case domain.KeyCreated:
		id = e.Key.ID
	case domain.KeyRevoked:
		id = e.KeyID
	}
	if row, ok := o.key(id); ok {
		if row.Organization != organization {
			return fmt.Errorf("API key %s stands in stream %s but belongs to another", id, ch.Record.Stream)
		}
		known.Keys = map[string]domain.APIKey{id: row.Key}
	}
	if err := domain.Contradiction(&known, ch.Event); err != nil {
		return err
	}
	known.Evolve(ch.Event, ch.Meta.Time)
	if id != "" {
		o.changed[id] = KeyRow{Organization: organization, Mode: known.Mode, Key: known.Keys[id]}
	}
	switch ch.Event.(type) {
	case domain.OrganizationCreated, domain.OrganizationUpdated, domain.TestClockSet:
		o.chosen[organization] = OrganizationRow{Mode: known.Mode, Settings: known.Settings, Clock: known.Clock}
	}
	return nil
}

func (o *organizations) key(id string) (KeyRow, bool) {
	if row, ok := o.changed[id]; ok {
		return row, true
	}
	row, ok := o.keys[id] // written by this goroutine alone
	return row, ok
}

func (o *organizations) row(id string) OrganizationRow {
	if row, ok := o.chosen[id]; ok {
		return row
	}
	row, ok := o.rows[id]
	if !ok {
		row.Settings = domain.DefaultSettings()
	}
	return row
}

// Stage implements Projector.
func (o *organizations) Stage(batch *pebble.Batch) error {
	for id, row := range o.changed {
		value, err := json.Marshal(row)
		if err != nil {
			return err
		}
		if err := batch.Set(prefix(tableKey, id), value, nil); err != nil {
			return err
		}
	}
	for id, row := range o.chosen {
		value, err := json.Marshal(row)
		if err != nil {
			return err
		}
		if err := batch.Set(prefix(tableOrganization, id), value, nil); err != nil {
			return err
		}
	}
	return nil
}

// Committing implements Projector.
func (o *organizations) Committing() {}

// Committed implements Projector.
func (o *organizations) Committed() {
	o.mu.Lock()
	maps.Copy(o.keys, o.changed)
	maps.Copy(o.rows, o.chosen)
	o.mu.Unlock()
	for id := range o.chosen {
		o.v.timetable.reset(id)
	}
	o.Discard()
}

// Discard implements Projector.
func (o *organizations) Discard() {
	clear(o.changed)
	clear(o.chosen)
}
