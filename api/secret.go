package api

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"sync"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore/planted"
)

// SecretSize is the length of the ledger's secret in bytes.
const SecretSize = 32

// Secrets are the subkeys of the ledger's secret, one per use, so that what one
// of them signs means nothing to another.
type Secrets struct {
	APIKeys       []byte // keyed hashes of API keys
	RequestMAC    []byte // keyed hashes of requests that carry an idempotency key
	Cursors       []byte // signatures of page cursors
	ClientSecrets []byte // client secrets of setup intents
	Returns       []byte // ways back from an approval
	Cards         []byte // keyed hashes of requests with a card number
	Sandbox       []byte // fingerprints of the sandbox gateway
	MethodIDs     []byte // ids derived from an idempotency key
}

// NewSecrets derives the subkeys from the ledger's secret by HKDF-SHA256. It
// refuses a secret that is not SecretSize bytes long.
func NewSecrets(secret []byte) (Secrets, error) {
	if len(secret) != SecretSize {
		return Secrets{}, fmt.Errorf("the secret is %d bytes long, not %d: give the file it was kept in", len(secret), SecretSize)
	}
	return Secrets{
		APIKeys:       subkey(secret, "api keys"),
		RequestMAC:    subkey(secret, "request mac"),
		Cursors:       subkey(secret, "cursors"),
		ClientSecrets: subkey(secret, "client secrets"),
		Returns:       subkey(secret, "returns"),
		Cards:         subkey(secret, "cards"),
		Sandbox:       subkey(secret, "sandbox"),
		MethodIDs:     subkey(secret, "method ids"),
	}, nil
}

// Fingerprint names a secret without telling anything about it: 32 hex digits,
// kept in the log's identity record.
func Fingerprint(secret []byte) string {
	return hex.EncodeToString(subkey(secret, "fingerprint")[:16])
}

// subkey panics only where HKDF itself does: never for a length of 32.
func subkey(secret []byte, use string) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, "pmledger/v1/"+use, sha256.Size)
	if err != nil {
		panic(fmt.Sprintf("derive the subkey for %s: %v", use, err))
	}
	return key
}

// KeyMAC is the keyed hash of an API key's secret part, in lower-case hex: what
// is stored of it.
func (s Secrets) KeyMAC(keySecret string) string {
	mac := newMAC(s.APIKeys)
	mac.text(keySecret)
	return hex.EncodeToString(mac.Sum(nil))
}

// keyMACs computes KeyMAC for every request: keying a hash costs as much as the
// hash, so keyed ones are kept.
type keyMACs struct{ pool sync.Pool }

func newKeyMACs(s Secrets) *keyMACs {
	return &keyMACs{pool: sync.Pool{New: func() any {
		mac := newMAC(s.APIKeys)
		return &mac
	}}}
}

// matches tells, in constant time, whether stored is the KeyMAC of keySecret.
func (k *keyMACs) matches(keySecret, stored string) bool {
	mac := k.pool.Get().(*macWriter)
	defer k.pool.Put(mac)
	mac.Reset()
	mac.text(keySecret)
	var sum [sha256.Size]byte
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], mac.Sum(sum[:0]))
	return subtle.ConstantTimeCompare(text[:], []byte(stored)) == 1
}

// derivedMethodID is the id of a method without a customer that is attached with
// an idempotency key: the same organization and key give the same id, so that a
// repeat finds the method's stream.
func (s Secrets) derivedMethodID(organization, key string) domain.MethodID {
	mac := newMAC(s.MethodIDs)
	if !planted.AnyonesID.Here() {
		mac.text(organization)
	}
	mac.text(key)
	var id uuid.UUID
	copy(id[:], mac.Sum(nil))
	id[6] = id[6]&0x0f | 0x80 // version 8
	id[8] = id[8]&0x3f | 0x80 // RFC 9562 variant
	return domain.NewMethodID(id)
}

// macWriter feeds length-prefixed texts to a keyed hash, so that no two lists of
// texts look alike to it.
type macWriter struct{ hash.Hash }

func newMAC(key []byte) macWriter { return macWriter{hmac.New(sha256.New, key)} }

func (m macWriter) text(s string) {
	m.bytes([]byte(s))
}

func (m macWriter) bytes(b []byte) {
	var size [4]byte
	binary.BigEndian.PutUint32(size[:], uint32(len(b)))
	m.Write(size[:])
	m.Write(b)
}
