package projections

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/pmledger/pmledger/domain"
)

// MethodRow is a payment method as the view keeps it. It is shared: nobody may
// change its bytes.
type MethodRow struct {
	JSON     []byte // the API's object, see RenderMethod
	Version  uint64 // for its ETag
	Stream   string // that commands on it go to
	Customer string // "" for a method without one
}

// row is a stored method: what filters look at, what only the domain needs, and
// the JSON. The strings are slices of the stored value.
type row struct {
	flags        byte
	version      uint64
	createdAt    int64 // Unix milliseconds
	updatedAt    int64 // Unix milliseconds
	expiresAt    int64 // Unix milliseconds; 0 for none
	organization []byte
	customer     []byte
	typ          []byte
	status       []byte
	provider     []byte
	token        []byte
	fingerprint  []byte
	externalID   []byte
	private      []byte
	json         []byte
}

const (
	flagDefault = 1 << iota
	flagVerified
	flagAttached
)

// private is what evolving a method needs and the API's object does not show.
type private struct {
	FactsFrom      string               `json:"f,omitempty"`
	StatusBefore   domain.Status        `json:"s,omitempty"`
	WindowsServed  []int                `json:"w,omitempty"`
	Holder         string               `json:"h,omitempty"` // of a method that is not a bank account
	Email          string               `json:"e,omitempty"` // of a method that is not a wallet
	Verification   *domain.Verification `json:"v,omitempty"` // its counters and its reference
	Replacement    *domain.Replacement  `json:"r,omitempty"`
	NextAction     *domain.NextAction   `json:"n,omitempty"`
	SetupIntent    domain.SetupIntentID `json:"i,omitempty"`
	MandateNoticed bool                 `json:"m,omitempty"`
	GatewayDetach  string               `json:"g,omitempty"`
	LeftOpen       []domain.LeftOpen    `json:"l,omitempty"`
}

// plain tells that there is nothing but where the facts are from, as with nearly
// all methods.
func (p private) plain() bool {
	return p.StatusBefore == "" && len(p.WindowsServed) == 0 && p.Holder == "" && p.Email == "" && p.Verification == nil &&
		p.Replacement == nil && p.NextAction == nil && p.SetupIntent == "" && !p.MandateNoticed && p.GatewayDetach == "" &&
		len(p.LeftOpen) == 0
}

func encodeRow(m *domain.Method) ([]byte, error) {
	b := make([]byte, 0, 1536)
	var flags byte
	if m.IsDefault {
		flags |= flagDefault
	}
	if m.Verification.Status == domain.Verified {
		flags |= flagVerified
	}
	if m.Attached() {
		flags |= flagAttached
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, m.Version)
	b = binary.AppendVarint(b, m.CreatedAt.UnixMilli())
	b = binary.AppendVarint(b, m.UpdatedAt.UnixMilli())
	b = binary.AppendVarint(b, millis(m.ExpiresAt))
	for _, s := range [...]string{
		m.Organization, m.Customer, string(m.Type), string(m.Status), m.Provider, m.ProviderID, m.Fingerprint, m.ExternalID,
	} {
		b = part(b, s)
	}
	hidden, err := encodePrivate(m)
	if err != nil {
		return nil, err
	}
	b = part(b, string(hidden))
	return appendMethod(b, m, toOwner), nil
}

func encodePrivate(m *domain.Method) ([]byte, error) {
	p := private{
		FactsFrom: m.FactsFrom, StatusBefore: m.StatusBefore, WindowsServed: m.WindowsServed, Replacement: m.Replacement,
		NextAction: m.NextAction, SetupIntent: m.SetupIntent, MandateNoticed: m.MandateNoticed, GatewayDetach: m.GatewayDetach,
		LeftOpen: m.LeftOpen,
	}
	if v := hiddenVerification(m.Verification); v != (domain.Verification{}) {
		p.Verification = &v
	}
	if m.BankAccount == nil {
		p.Holder = m.Personal.Holder
	}
	if m.Wallet == nil {
		p.Email = m.Personal.Email
	}
	if p.plain() && !strings.HasPrefix(p.FactsFrom, "{") {
		return []byte(p.FactsFrom), nil
	}
	return json.Marshal(p)
}

// hiddenVerification is what the object does not show of a verification.
func hiddenVerification(v domain.Verification) domain.Verification {
	v.Status, v.Kind, v.VerifiedAt, v.ExpiresAt, v.LastError = "", "", time.Time{}, time.Time{}, ""
	return v
}

func decodePrivate(b []byte) (private, error) {
	if len(b) == 0 || b[0] != '{' {
		return private{FactsFrom: string(b)}, nil
	}
	var p private
	err := json.Unmarshal(b, &p)
	return p, err
}

// millis is a time in Unix milliseconds, 0 for none.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// What a view that agrees with itself never shows.
var (
	errShortRow = errors.New("a stored row ends too early")
	errMissing  = errors.New("a list names something that is not there")
)

// decodeRow takes a stored value apart. The row keeps slices of it.
func decodeRow(value []byte) (row, error) {
	r := reader{b: value}
	out := row{flags: r.byte(), version: r.uvarint(), createdAt: r.varint(), updatedAt: r.varint(), expiresAt: r.varint()}
	for _, to := range [...]*[]byte{
		&out.organization, &out.customer, &out.typ, &out.status, &out.provider, &out.token, &out.fingerprint, &out.externalID, &out.private,
	} {
		*to = r.part()
	}
	out.json = r.rest()
	if r.short || len(out.json) == 0 {
		return row{}, errShortRow
	}
	return out, nil
}

// reader takes bytes apart; short tells, at the end, whether there were enough.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.short, r.b = true, nil
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.short, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) varint() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.short, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) part() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.short, r.b = true, nil
		return nil
	}
	return r.take(int(n))
}

func (r *reader) rest() []byte { return r.take(len(r.b)) }
