package api

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"strings"

	"github.com/pmledger/pmledger/domain"
)

// An API key is text of a fixed length:
//
//	pml_{test|live}_{id: 12}_{secret: 43}{checksum: 6}
//
// The id is 60 random bits in lower-case base32, the secret 32 random bytes in
// base62, the checksum the CRC-32 (IEEE) of all that stands before it in base62.
// The checksum lets a typing mistake, or a secret scanner, be answered without a
// look-up; it protects nothing.
const (
	keyIDSize     = 12
	keySecretSize = 43
	keySumSize    = 6
	keySize       = len("pml_test_") + keyIDSize + 1 + keySecretSize + keySumSize
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

var errKeyForm = errors.New("this is not an API key")

// Key is an API key taken apart. Its Secret must never be kept or shown.
type Key struct {
	Mode   domain.Mode
	ID     string
	Secret string
}

// MintKey makes a new API key from 40 bytes of random and returns its text, to be
// shown once, together with its parts. Store Secrets.KeyMAC of the secret, never
// the secret. It fails when random does.
func MintKey(mode domain.Mode, random io.Reader) (text string, key Key, err error) {
	if random == nil {
		random = rand.Reader
	}
	var seed [8 + 32]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return "", Key{}, fmt.Errorf("make an API key: %w", err)
	}
	encoding := base32.StdEncoding.WithPadding(base32.NoPadding)
	key = Key{
		Mode:   mode,
		ID:     strings.ToLower(encoding.EncodeToString(seed[:8])[:keyIDSize]),
		Secret: toBase62(new(big.Int).SetBytes(seed[8:]), keySecretSize),
	}
	body := "pml_" + string(mode) + "_" + key.ID + "_" + key.Secret
	return body + checksum(body), key, nil
}

// ParseKey takes an API key apart. It tells only that the text has the form and
// the checksum of a key, not that such a key exists.
func ParseKey(text string) (Key, error) {
	if len(text) != keySize {
		return Key{}, errKeyForm
	}
	var mode domain.Mode
	switch {
	case strings.HasPrefix(text, "pml_test_"):
		mode = domain.ModeTest
	case strings.HasPrefix(text, "pml_live_"):
		mode = domain.ModeLive
	default:
		return Key{}, errKeyForm
	}
	rest := text[len("pml_test_"):]
	id, secret := rest[:keyIDSize], rest[keyIDSize+1:len(rest)-keySumSize]
	if rest[keyIDSize] != '_' || !validKeyID(id) || !consistsOf(secret, base62) {
		return Key{}, errKeyForm
	}
	if checksum(text[:len(text)-keySumSize]) != text[len(text)-keySumSize:] {
		return Key{}, errKeyForm
	}
	return Key{Mode: mode, ID: id, Secret: secret}, nil
}

func validKeyID(id string) bool {
	return len(id) == keyIDSize && consistsOf(id, "abcdefghijklmnopqrstuvwxyz234567")
}

func consistsOf(s, alphabet string) bool {
	for i := range len(s) {
		if strings.IndexByte(alphabet, s[i]) < 0 {
			return false
		}
	}
	return true
}

func checksum(body string) string {
	sum := crc32.ChecksumIEEE([]byte(body))
	var text [keySumSize]byte
	for i := len(text) - 1; i >= 0; i-- {
		text[i] = base62[sum%62]
		sum /= 62
	}
	return string(text[:])
}

func toBase62(n *big.Int, size int) string {
	text := make([]byte, size)
	digit, base := new(big.Int), big.NewInt(62)
	for i := size - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		text[i] = base62[digit.Int64()]
	}
	return string(text)
}
