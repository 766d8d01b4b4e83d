package sandbox

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/pmledger/pmledger/gateway"
)

// token is a sandbox token, read.
type token struct {
	base              int    // index in bases
	isCard            bool   // what follows up to expMonth is for cards
	funding           string // debit, prepaid, credit
	expYear, expMonth int
	mark              string // of _fp_
	behaviour
	stored *storedCard // a card that Tokenize took; base does not apply then
}

// behaviour is how the sandbox treats an instrument.
type behaviour struct {
	approval    bool
	declined    bool
	unavailable bool
	verifyFails bool
	updates     bool
	lost        bool
	recovers    bool
}

// parse reads a token. It never repeats the token in an error: somebody may have
// sent a card number in its place.
func parse(text string) (token, error) {
	base := -1
	for i, b := range bases {
		rest, ok := strings.CutPrefix(text, b.token)
		if ok && (rest == "" || rest[0] == '_') && (base < 0 || len(b.token) > len(bases[base].token)) {
			base = i
		}
	}
	if base < 0 {
		return token{}, unknownBase()
	}
	t := token{base: base, isCard: bases[base].instrument().Card != nil}
	if t.isCard {
		t.funding, t.expYear, t.expMonth = "credit", 2034, 12
	}
	rest := strings.TrimPrefix(text, bases[base].token)
	if rest == "" {
		return t, nil
	}
	words := strings.Split(rest[1:], "_")
	seen := map[string]bool{}
	for len(words) > 0 {
		suffix, used, err := t.take(words)
		if err != nil {
			return token{}, err
		}
		if seen[suffix] {
			return token{}, unknown("the sandbox token has the suffix %s twice", suffix)
		}
		seen[suffix] = true
		words = words[used:]
	}
	return t, nil
}

// take reads the first suffix in words. It returns the suffix's name (one name
// for those that exclude each other) and how many words it is made of.
func (t *token) take(words []string) (suffix string, used int, err error) {
	switch words[0] {
	case "debit", "prepaid":
		if !t.isCard {
			return "", 0, unknown("the sandbox suffix _%s is for cards", words[0])
		}
		t.funding = words[0]
		return "_debit or _prepaid", 1, nil
	case "exp":
		return "_exp_", 3, t.takeExpiry(words[1:])
	case "fp":
		return "_fp_", 2, t.takeMark(words[1:])
	case "3ds":
		t.approval = true
	case "declined":
		t.declined = true
	case "unavailable":
		t.unavailable = true
	case "updates":
		t.updates = true
	case "recovers":
		t.recovers = true
	case "lost":
		t.lost = true
	case "verify":
		if len(words) < 2 || words[1] != "fails" {
			return "", 0, unknownSuffix()
		}
		t.verifyFails = true
		return "_verify_fails", 2, nil
	default:
		return "", 0, unknownSuffix()
	}
	return "_" + words[0], 1, nil
}

func (t *token) takeExpiry(words []string) error {
	if !t.isCard {
		return unknown("the sandbox suffix _exp_ is for cards")
	}
	if len(words) < 2 || !digits(words[0], 4) || !digits(words[1], 2) {
		return unknown("the sandbox suffix _exp_ is written _exp_2026_12: a year of four digits and a month of two")
	}
	t.expYear, _ = strconv.Atoi(words[0])
	t.expMonth, _ = strconv.Atoi(words[1])
	if t.expYear < 2000 || t.expMonth < 1 || t.expMonth > 12 {
		return unknown("the sandbox suffix _exp_ takes years from 2000 and months from 01 to 12")
	}
	return nil
}

func (t *token) takeMark(words []string) error {
	if len(words) == 0 || words[0] == "" || len(words[0]) > 32 || strings.Trim(words[0], alphanumeric) != "" {
		return unknown("the sandbox suffix _fp_ is followed by 1 to 32 letters and digits")
	}
	t.mark = words[0]
	return nil
}

const alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// canonical spells what makes the instrument, in one order.
func (t *token) canonical() string {
	return fmt.Sprintf("%s %s %d-%d %s", bases[t.base].token, t.funding, t.expYear, t.expMonth, t.mark)
}

func digits(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789") == ""
}

func unknownBase() error {
	known := make([]string, len(bases))
	for i, b := range bases {
		known[i] = b.token
	}
	return unknown("the sandbox has no such token; it has %s", strings.Join(known, ", "))
}

func unknownSuffix() error {
	return unknown("the sandbox does not know a suffix of this token; it knows _debit, _prepaid, _exp_2026_12, _fp_x, _3ds, _declined, _unavailable, _verify_fails, _updates, _lost, _recovers")
}

func unknown(format string, args ...any) error {
	return &gateway.Error{Kind: gateway.UnknownToken, Message: fmt.Sprintf(format, args...)}
}
