package projections

import (
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pmledger/pmledger/domain"
)

// SetupIntentRow is a setup intent as the view keeps it. It is shared: nobody may
// change it.
type SetupIntentRow struct {
	Intent   *domain.SetupIntent // for RenderSetupIntent with its client secret
	JSON     []byte              // the API's object, its client secret null
	Version  uint64
	Stream   string // that commands on it go to
	Customer string
}

// SetupIntent returns a setup intent. One of another organization is not found.
// The organization "" stands for whichever it belongs to: for those who have shown
// the intent's client secret, which names none.
func (v *Views) SetupIntent(organization string, id domain.SetupIntentID) (SetupIntentRow, bool, error) {
	k, err := intentKeyOf(id)
	if err != nil {
		return SetupIntentRow{}, false, nil
	}
	if err := v.enter(); err != nil {
		return SetupIntentRow{}, false, err
	}
	defer v.leave()
	s, err := v.intent(k)
	if err != nil || s == nil || organization != "" && s.Organization != organization {
		return SetupIntentRow{}, false, v.checked(err)
	}
	return intentRow(s), true, nil
}

// SetupIntentByReference returns the setup intent that a provider knows by the
// reference; the newest, should there be several.
func (v *Views) SetupIntentByReference(organization, provider, reference string) (SetupIntentRow, bool, error) {
	if err := v.enter(); err != nil {
		return SetupIntentRow{}, false, err
	}
	defer v.leave()
	base := prefix(tableIntentOfReference, organization, provider, reference)
	it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: base, UpperBound: after(base)})
	if err != nil {
		return SetupIntentRow{}, false, v.checked(err)
	}
	var s *domain.SetupIntent
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var found *domain.SetupIntent
		found, err = v.intent(subjectKey(it.Key()[len(base):]))
		if found != nil && (s == nil || found.CreatedAt.After(s.CreatedAt)) {
			s = found
		}
	}
	if closeErr := it.Close(); err == nil {
		err = closeErr
	}
	if err != nil || s == nil {
		return SetupIntentRow{}, false, v.checked(err)
	}
	return intentRow(s), true, nil
}

func intentRow(s *domain.SetupIntent) SetupIntentRow {
	return SetupIntentRow{
		Intent: s, JSON: RenderSetupIntent(s, ""), Version: s.Version, Customer: s.Customer,
		Stream: domain.CustomerStream(s.Organization, s.Customer, s.MethodID),
	}
}

// indexIntent moves an intent's entry in the list of references.
func indexIntent(batch *pebble.Batch, before, next *domain.SetupIntent) error {
	k, err := intentKeyOf(next.ID)
	if err != nil {
		return err
	}
	reference := ""
	if before != nil {
		reference = before.Reference
	}
	if reference == next.Reference {
		return nil
	}
	key := func(reference string) []byte {
		return append(prefix(tableIntentOfReference, next.Organization, next.Provider, reference), k[:]...)
	}
	if reference != "" {
		if err := batch.Delete(key(reference), nil); err != nil {
			return err
		}
	}
	if next.Reference == "" {
		return nil
	}
	return batch.Set(key(next.Reference), nil, nil)
}

// intent reads a setup intent, nil when there is none.
func (v *Views) intent(k subjectKey) (*domain.SetupIntent, error) {
	value, err := v.read(intentRowKey(k))
	if err != nil || value == nil {
		return nil, err
	}
	return decodeIntent(value)
}

func encodeIntent(s *domain.SetupIntent) ([]byte, error) { return json.Marshal(s) }

func decodeIntent(value []byte) (*domain.SetupIntent, error) {
	var s domain.SetupIntent
	if err := json.Unmarshal(value, &s); err != nil {
		return nil, fmt.Errorf("a stored setup intent: %w", err)
	}
	return &s, nil
}

// subjectKey is the UUID in the id of a payment method or a setup intent.
type subjectKey = methodKey

func intentKeyOf(id domain.SetupIntentID) (subjectKey, error) {
	var k subjectKey
	if len(id) != 37 || id[:5] != "seti_" {
		return k, fmt.Errorf("%q is not a setup intent id", id)
	}
	if _, err := hex.Decode(k[:], []byte(id[5:])); err != nil {
		return k, fmt.Errorf("%q is not a setup intent id", id)
	}
	return k, nil
}

func intentRowKey(k subjectKey) []byte { return append([]byte{tableIntent}, k[:]...) }

// intents is the part of the customers projector that keeps setup intents.
type intents struct {
	v     *Views
	known *lru[domain.SetupIntentID, *domain.SetupIntent]
	dirty map[domain.SetupIntentID]*domain.SetupIntent // since the last commit
}

func newIntents(v *Views) *intents {
	return &intents{
		v: v, known: newLRU[domain.SetupIntentID, *domain.SetupIntent](v.o.CachedMethods),
		dirty: map[domain.SetupIntentID]*domain.SetupIntent{},
	}
}

// get returns an intent as of the present record, nil when there is none.
func (i *intents) get(id domain.SetupIntentID) (*domain.SetupIntent, error) {
	if s, ok := i.dirty[id]; ok {
		return s, nil
	}
	if s, ok := i.known.get(id); ok {
		return s, nil
	}
	k, err := intentKeyOf(id)
	if err != nil {
		return nil, err
	}
	s, err := i.v.intent(k)
	return s, i.v.checked(err)
}

func (i *intents) stage(batch *pebble.Batch) error {
	for id, s := range i.dirty {
		k, err := intentKeyOf(id)
		if err != nil {
			return err
		}
		value, err := encodeIntent(s)
		if err != nil {
			return err
		}
		if err := batch.Set(intentRowKey(k), value, nil); err != nil {
			return err
		}
	}
	return nil
}

func (i *intents) committed() {
	for id, s := range i.dirty {
		i.known.put(id, s)
	}
	clear(i.dirty)
}

// RenderSetupIntent writes a setup intent as the API shows it. Members stand in a
// fixed order, and what does not apply is an explicit null; so is the client
// secret when it is "".
func RenderSetupIntent(s *domain.SetupIntent, clientSecret string) []byte {
	return appendSetupIntent(make([]byte, 0, 640), s, clientSecret, toOwner)
}

func appendSetupIntent(b []byte, s *domain.SetupIntent, clientSecret string, to audience) []byte {
	o := begin(b)
	o.text("id", string(s.ID))
	o.text("object", "setup_intent")
	o.textOrNull("customer_id", s.Customer)
	writeIntentMembers(&o, s, clientSecret, to)
	o.time("created_at", s.CreatedAt)
	o.time("expires_at", s.ExpiresAt)
	o.number("version", s.Version)
	return o.end()
}

// writeIntentMembers writes the members that a setup intent's life can change,
// and those that stand between them.
func writeIntentMembers(o *object, s *domain.SetupIntent, clientSecret string, to audience) {
	o.text("status", string(s.Status))
	o.textOrNull("type", string(s.Type))
	o.text("usage", s.Usage)
	o.textOrNull("client_secret", clientSecret)
	o.textOrNull("payment_method_id", string(s.MethodID))
	writeNextAction(o, s.NextAction, to)
	writeSetupError(o, s.LastError)
	o.textOrNull("cancellation_reason", string(s.CancelReason))
	if to == toConsumer {
		o.null("metadata")
	} else {
		o.dictionary("metadata", s.Metadata)
	}
}

func writeSetupError(o *object, e *domain.SetupError) {
	if e == nil {
		o.null("last_error")
		return
	}
	if !o.key("last_error") {
		return
	}
	inner := begin(o.b)
	inner.text("code", string(e.Code))
	inner.text("message", e.Message)
	o.b = inner.end()
}

// intentChanges names the members that differ. Nothing personal of an intent can
// change.
func intentChanges(a, b *domain.SetupIntent) []string {
	var d difference
	d.add("status", a.Status == b.Status)
	d.add("payment_method_id", a.MethodID == b.MethodID)
	d.add("next_action", sameNextAction(a.NextAction, b.NextAction))
	d.add("last_error", samePointed(a.LastError, b.LastError))
	d.add("cancellation_reason", a.CancelReason == b.CancelReason)
	return d.names
}
