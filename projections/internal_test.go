package projections

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
)

// What the API's object does not show survives in the row all the same.
func TestARowKeepsTheWholeMethod(t *testing.T) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 5e6, time.UTC)
	want := &domain.Method{
		ID: domain.NewMethodID([16]byte{1}), Organization: "acme", Customer: "cus_1", ExternalID: "ext",
		Facts:     domain.Facts{Type: domain.TypeOther, Method: "voucher", Fingerprint: "fp", Country: "US", Currency: "usd"},
		FactsFrom: "caller", Provider: "sandbox", ProviderID: "tok", Status: domain.StatusExpired, StatusReason: "why",
		StatusBefore: domain.StatusPaused, IsDefault: true, Verification: domain.Verification{Status: domain.Verified, Kind: "wallet", VerifiedAt: at},
		Personal:  domain.Personal{BillingAddress: &domain.Address{City: "x"}, Metadata: map[string]string{"a": "b"}, Holder: "Jane", Email: "j@example.com"},
		ExpiresAt: at, Expiring: true, WindowsServed: []int{30, 7}, LastReplacedAt: at, InUseBy: []string{"sub_1"},
		CreatedAt: at, UpdatedAt: at, DetachedAt: at, Version: 9,
	}
	value, err := encodeRow(want)
	if err != nil {
		t.Fatal(err)
	}
	r, err := decodeRow(value)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.method(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
}

// bomb is a projector that panics.
type bomb struct{ Projector }

func (bomb) Name() string                      { return "bomb" }
func (bomb) Takes(string) bool                 { return true }
func (bomb) Apply(*pebble.Batch, Change) error { panic("boom") }
func (bomb) Discard()                          {}

func TestAPanicHaltsItsProjection(t *testing.T) {
	v, err := Open(t.Context(), memory.New(), Options{Dir: "views", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	p := newProjection(bomb{})
	v.advance(p, []decoded{{Change: Change{Record: eventstore.Record{Position: 7}}, category: "customer"}})
	if halted := p.halted.Load(); halted == nil || halted.Position != 7 || !strings.Contains(halted.Error(), "boom") {
		t.Errorf("halted: %v", halted)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}

func TestTheClockRestsTwiceAsLongAsItWorked(t *testing.T) {
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	slot := began.Add(100 * time.Millisecond) // by the rate
	for took, want := range map[time.Duration]time.Duration{
		0: 100 * time.Millisecond, 20 * time.Millisecond: 100 * time.Millisecond, 30 * time.Millisecond: 100 * time.Millisecond,
		50 * time.Millisecond: 150 * time.Millisecond, 3 * time.Second: 9 * time.Second,
	} {
		if got := rested(slot, began, began.Add(took)).Sub(began); got != want {
			t.Errorf("a turn of %v is followed by the next after %v, want %v", took, got, want)
		}
	}
}
