package projections

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
)

// customers projects the streams of customers: every method as it is now, and
// every public event. Both advance in one batch, so an event is never visible
// without the state that it led to.
type customers struct {
	v         *Views
	methods   *lru[domain.MethodID, *domain.Method]
	sequences *lru[string, sequence] // by organization
	published eventstore.Position    // of the last public event
	intents   *intents
	uses      *uses
	todo      *todo

	// Since the last commit.
	dirty       map[domain.MethodID]*domain.Method
	counted     map[string]sequence
	lastMessage eventstore.Position
	keys        []methodKey
	rows        []*cachedRow
	lists       []string // prefixes of those that a method was added to
	committing  bool

	scratch []byte          // the present message
	known   domain.Customer // the part of the customer that the present event is about
}

// sequence is an organization's last public event.
type sequence struct {
	number   uint64
	position eventstore.Position
}

const metaPublished = "published"

func newCustomers(v *Views) *customers {
	return &customers{
		v:         v,
		methods:   newLRU[domain.MethodID, *domain.Method](v.o.CachedMethods),
		sequences: newLRU[string, sequence](v.o.CachedMethods),
		dirty:     map[domain.MethodID]*domain.Method{},
		counted:   map[string]sequence{},
		known: domain.Customer{
			Methods: map[domain.MethodID]*domain.Method{}, SetupIntents: map[domain.SetupIntentID]*domain.SetupIntent{},
			Subscriptions: map[string]domain.Subscription{},
		},
		uses:    newUses(v),
		intents: newIntents(v),
		todo:    newTodo(v),
	}
}

// load reads what is kept in memory from the start.
func (c *customers) load() error {
	value, err := c.v.meta(metaPublished)
	if err != nil || value == nil {
		return err
	}
	r := reader{b: value}
	c.published = eventstore.Position(r.uint64())
	c.lastMessage = c.published
	if r.short {
		return errShortRow
	}
	return nil
}

// Name implements Projector.
func (c *customers) Name() string { return "customers" }

// Takes implements Projector.
func (c *customers) Takes(category string) bool { return category == "customer" }

// Apply implements Projector.
func (c *customers) Apply(batch *pebble.Batch, ch Change) error {
	ids := domain.MethodsOf(ch.Event)
	if err := c.recall(ch, ids); err != nil {
		return err
	}
	if err := domain.Contradiction(&c.known, ch.Event); err != nil {
		return err
	}
	var p publication
	for i, id := range ids {
		before := c.known.Methods[id]
		next := before.Evolve(id, ch.Event, ch.Meta.Time, ch.Record.Version)
		if i == 0 {
			p.object, p.previous = next, before
		}
		if next == before {
			continue
		}
		k, err := keyOf(id)
		if err != nil {
			return err
		}
		if err := errors.Join(indexMethod(batch, before, next), keepPast(batch, k, before, next), c.todo.method(batch, ch, k, before, next)); err != nil {
			return err
		}
		c.dirty[id] = next
		if before == nil && next.Customer != "" {
			c.lists = append(c.lists, string(prefix(tableOfCustomer, next.Organization, next.Customer)))
		}
	}
	if id := domain.SetupIntentOf(ch.Event); id != "" {
		p.intentBefore = c.known.SetupIntents[id]
		p.intent = p.intentBefore.Evolve(ch.Event, ch.Meta.Time, ch.Record.Version)
		if err := errors.Join(indexIntent(batch, p.intentBefore, p.intent), c.todo.intent(batch, ch, p.intentBefore, p.intent)); err != nil {
			return err
		}
		c.intents.dirty[id] = p.intent
	}
	c.uses.apply(ch)
	name := domain.PublicName(ch.Event)
	if name == "" {
		return nil
	}
	if changed, ok := ch.Event.(domain.DefaultChanged); ok && changed.To == "" {
		p.object, p.previous = nil, nil
	}
	return c.publish(batch, ch, name, ids, p)
}

// recall gathers the part of the customer's state that the event is about.
func (c *customers) recall(ch Change, ids []domain.MethodID) error {
	clear(c.known.Methods)
	clear(c.known.SetupIntents)
	clear(c.known.Subscriptions)
	_, c.known.Organization, c.known.ID = domain.StreamOwner(ch.Record.Stream)
	c.known.Version, c.known.Default = ch.Record.Version-1, ""
	_, isNew := ch.Event.(domain.MethodAttached)
	for _, id := range ids {
		if isNew && ch.Record.Version == 1 {
			continue
		}
		m, err := c.method(id, isNew)
		if err != nil {
			return err
		}
		if m == nil {
			continue
		}
		if m.Organization != c.known.Organization || m.Customer != c.known.ID {
			return fmt.Errorf("method %s stands in stream %s but belongs to another", id, ch.Record.Stream)
		}
		c.known.Methods[id] = m
		if m.IsDefault {
			c.known.Default = id
		}
	}
	return errors.Join(c.recallIntent(ch), c.recallSubscription(ch))
}

func (c *customers) recallSubscription(ch Change) error {
	id, names, ok := subscriptionOf(ch.Event)
	if !ok {
		return nil
	}
	s, err := c.uses.get(ch.Record.Stream, id)
	if err != nil {
		return err
	}
	if s != nil {
		c.known.Subscriptions[id] = *s
	}
	if names == "" || c.known.Methods[names] != nil {
		return nil
	}
	m, err := c.method(names, false)
	if m != nil && m.Organization == c.known.Organization && m.Customer == c.known.ID {
		c.known.Methods[names] = m
	}
	return err
}

func (c *customers) recallIntent(ch Change) error {
	id := domain.SetupIntentOf(ch.Event)
	if id == "" {
		return nil
	}
	s, err := c.intents.get(id)
	if err != nil || s == nil {
		return err
	}
	if s.Organization != c.known.Organization || s.Customer != c.known.ID {
		return fmt.Errorf("setup intent %s stands in stream %s but belongs to another", id, ch.Record.Stream)
	}
	c.known.SetupIntents[id] = s
	return nil
}

// method returns a method as of the present record, nil when there is none. When
// it is unlikely to be there, a dearer way of asking is the cheaper one.
func (c *customers) method(id domain.MethodID, unlikely bool) (*domain.Method, error) {
	if m, ok := c.dirty[id]; ok {
		return m, nil
	}
	if m, ok := c.methods.get(id); ok {
		return m, nil
	}
	k, err := keyOf(id)
	if err != nil {
		return nil, err
	}
	if unlikely {
		if there, err := c.v.has(rowKey(k)); err != nil || !there {
			return nil, c.v.checked(err)
		}
	}
	value, err := c.v.read(rowKey(k))
	if err != nil || value == nil {
		return nil, c.v.checked(err)
	}
	r, err := decodeRow(value)
	if err != nil {
		return nil, err
	}
	m, err := r.method()
	if err == nil {
		c.methods.put(id, m)
	}
	return m, err
}

// publish renders the event and files it under everything it is found by.
func (c *customers) publish(batch *pebble.Batch, ch Change, name string, ids []domain.MethodID, p publication) error {
	organization, customer := c.known.Organization, c.known.ID
	seq, err := c.sequence(organization)
	if err != nil {
		return err
	}
	m := &Message{
		Position: ch.Record.Position, Prev: c.lastMessage, OrgPrev: seq.position, OrgSeq: seq.number + 1, ID: ch.Record.ID,
		Organization: organization, Customer: customer, Type: name, SubjectID: customer, Time: ch.Meta.Time,
		Traceparent: headerSafe(ch.Meta.Traceparent),
	}
	p.change, p.message = ch, m
	if len(ids) == 0 && p.intent != nil && p.intent.MethodID != "" {
		ids = []domain.MethodID{p.intent.MethodID}
	}
	switch {
	case len(ids) > 0:
		p.subject, m.SubjectID = ids[0], string(ids[0])
	case p.intent != nil:
		m.SubjectID = string(p.intent.ID)
	}
	c.scratch = p.appendBody(appendEnvelope(c.scratch[:0], m))
	if err := fileMessage(batch, m, c.scratch, ids); err != nil {
		return err
	}
	c.counted[organization] = sequence{number: m.OrgSeq, position: m.Position}
	c.lastMessage = m.Position
	return nil
}

func (c *customers) sequence(organization string) (sequence, error) {
	if s, ok := c.counted[organization]; ok {
		return s, nil
	}
	if s, ok := c.sequences.get(organization); ok {
		return s, nil
	}
	value, err := c.v.read(prefix(tableSequence, organization))
	if err != nil || value == nil {
		return sequence{}, c.v.checked(err)
	}
	r := reader{b: value}
	s := sequence{number: r.uint64(), position: eventstore.Position(r.uint64())}
	if r.short {
		return sequence{}, errShortRow
	}
	return s, nil
}

// Stage implements Projector.
func (c *customers) Stage(batch *pebble.Batch) error {
	for id, m := range c.dirty {
		k, err := keyOf(id)
		if err != nil {
			return err
		}
		value, err := encodeRow(m)
		if err != nil {
			return err
		}
		if err := batch.Set(rowKey(k), value, nil); err != nil {
			return err
		}
		cached, err := newCachedRow(k, value)
		if err != nil {
			return err
		}
		c.keys, c.rows = append(c.keys, k), append(c.rows, cached)
	}
	if err := errors.Join(c.intents.stage(batch), c.uses.stage(batch)); err != nil {
		return err
	}
	for organization, s := range c.counted {
		value := binary.BigEndian.AppendUint64(make([]byte, 0, 16), s.number)
		value = binary.BigEndian.AppendUint64(value, uint64(s.position))
		if err := batch.Set(prefix(tableSequence, organization), value, nil); err != nil {
			return err
		}
	}
	if c.lastMessage == c.published {
		return nil
	}
	return batch.Set(prefix(tableMeta, metaPublished), binary.BigEndian.AppendUint64(nil, uint64(c.lastMessage)), nil)
}

// Committing implements Projector.
func (c *customers) Committing() {
	c.committing = true
	c.v.rows.begin()
	c.v.lists.begin()
}

// Committed implements Projector.
func (c *customers) Committed() {
	c.ended()
	for id, m := range c.dirty {
		c.methods.put(id, m)
	}
	for organization, s := range c.counted {
		c.sequences.put(organization, s)
	}
	c.intents.committed()
	c.uses.committed()
	c.todo.committed(c.dirty)
	c.published = c.lastMessage
	c.forget()
}

// Discard implements Projector.
func (c *customers) Discard() {
	if c.committing {
		c.keys, c.lists = nil, nil
		c.ended()
	}
	c.lastMessage = c.published
	c.forget()
}

// ended lets readers see what the commit has changed.
func (c *customers) ended() {
	c.v.rows.end(func(rows *lru[methodKey, *cachedRow]) {
		for i, k := range c.keys {
			rows.put(k, c.rows[i])
		}
	})
	c.v.lists.end(func(lists *lru[string, []place]) {
		for _, of := range c.lists {
			lists.remove(of)
		}
	})
	c.committing = false
}

func (c *customers) forget() {
	clear(c.dirty)
	clear(c.counted)
	clear(c.intents.dirty)
	clear(c.uses.dirty)
	c.todo.discard()
	clear(c.rows)
	c.keys, c.rows, c.lists = c.keys[:0], c.rows[:0], c.lists[:0]
}

// headerSafe returns a trace context that can be a header's value, or nothing.
func headerSafe(s string) string {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return ""
		}
	}
	return s
}
