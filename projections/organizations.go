package projections

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pmledger/pmledger/domain"
)

// KeyRow is an API key and whose it is.
type KeyRow struct {
	Organization string        `json:"organization"`
	Mode         domain.Mode   `json:"mode"`
	Key          domain.APIKey `json:"key"`
}

// organizations projects the streams of organizations: every API key, revoked
// ones included. Settings are not here: whoever decides by them folds the stream.
//
// Keys are on the path of every request, so all of them are in memory, some
// 400 bytes each, and a lookup cannot fail.
type organizations struct {
	v *Views

	mu   sync.RWMutex
	keys map[string]KeyRow

	// Since the last commit.
	changed map[string]KeyRow
	opened  map[string]domain.Mode
}

func newOrganizations(v *Views) *organizations {
	return &organizations{v: v, keys: map[string]KeyRow{}, changed: map[string]KeyRow{}, opened: map[string]domain.Mode{}}
}

// Key returns the API key with this id. It answers from memory.
func (v *Views) Key(keyID string) (KeyRow, bool) {
	o := v.organizations
	o.mu.RLock()
	defer o.mu.RUnlock()
	row, ok := o.keys[keyID]
	return row, ok
}

func (o *organizations) load() (err error) {
	table := []byte{tableKey}
	it, err := o.v.db.NewIter(&pebble.IterOptions{LowerBound: table, UpperBound: after(table)})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var value []byte
		if value, err = it.ValueAndErr(); err != nil {
			break
		}
		var row KeyRow
		err = json.Unmarshal(value, &row)
		o.keys[row.Key.ID] = row
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
	known := domain.Organization{ID: organization, Version: ch.Record.Version - 1}
	var err error
	if known.Mode, err = o.mode(organization); err != nil {
		return err
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
	if _, ok := ch.Event.(domain.OrganizationCreated); ok {
		o.opened[organization] = known.Mode
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

func (o *organizations) mode(organization string) (domain.Mode, error) {
	if mode, ok := o.opened[organization]; ok {
		return mode, nil
	}
	value, err := o.v.read(prefix(tableMode, organization))
	return domain.Mode(value), o.v.checked(err)
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
	for organization, mode := range o.opened {
		if err := batch.Set(prefix(tableMode, organization), []byte(mode), nil); err != nil {
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
	defer o.mu.Unlock()
	for id, row := range o.changed {
		o.keys[id] = row
	}
	clear(o.changed)
	clear(o.opened)
}

// Discard implements Projector.
func (o *organizations) Discard() {
	clear(o.changed)
	clear(o.opened)
}
