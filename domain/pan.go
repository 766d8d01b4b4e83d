package domain

import (
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ContainsPAN tells whether a text holds what looks like a card number: 14 to 19
// digits, in one piece or in groups with a single space, hyphen, dot (or plus, a
// space in URLs) between them, that do not touch a letter or another digit, begin
// like a known issuer's numbers, have a length that issuer uses, pass the Luhn
// check, and are no part of a UUID. Digits of every script count. The text is also
// read as it would be after URL decoding or base64 decoding (of ASCII), once.
//
// Every string that the ledger accepts goes through here. Security codes of 3 or
// 4 digits cannot be told from any other short number, so no text screen finds
// them: fields made for them are refused by name instead. A number that is broken
// up by letters is not found either; that rule is what keeps UUIDs, hex and
// tokens apart from card numbers.
//
// It is pure, and allocates only when a text carries percent signs or something
// that is base64 of digits.
func ContainsPAN(s string) bool { return containsPAN(s, 14) }

// ContainsPANInNumberField is ContainsPAN for a field that is meant for a card
// number, where 13 digits count too. In free text they do not: telephone numbers
// have as many.
func ContainsPANInNumberField(s string) bool { return containsPAN(s, 13) }

// FindPAN returns the byte offsets of the first card number that stands in s as
// it is, without decoding.
func FindPAN(s string) (start, end int, found bool) { return findPAN(s, 14) }

func containsPAN(s string, shortest int) bool {
	if len(s) < shortest {
		return false
	}
	if _, _, found := findPAN(s, shortest); found {
		return true
	}
	if strings.IndexByte(s, '%') >= 0 {
		if _, _, found := findPAN(percentDecoded(s), shortest); found {
			return true
		}
	}
	return base64HidesPAN(s, shortest)
}

// longestPAN is how many digits a card number has at most.
const longestPAN = 19

func findPAN(s string, shortest int) (start, end int, found bool) {
	touching := false // the character before i is a letter or a digit
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf && ascii[c] != digit {
			touching = ascii[c] == letter
			i++
			continue
		}
		kind, _, size := characterAt(s, i)
		if kind == digit && !touching {
			if end, ok := panAt(s, i, shortest); ok && !insideUUID(s, i, end) {
				return i, end, true
			}
		}
		touching = kind == digit || kind == letter
		i += size
	}
	return 0, 0, false
}

// insideUUID tells whether s[start:end] is part of a well-formed UUID, whose
// groups happen to look like a card number once in some ten thousand times.
func insideUUID(s string, start, end int) bool {
	for start > 0 && partOfUUID(s[start-1]) {
		start--
	}
	for end < len(s) && partOfUUID(s[end]) {
		end++
	}
	u := s[start:end]
	return len(u) == 36 && strings.Count(u, "-") == 4 && u[8] == '-' && u[13] == '-' && u[18] == '-' && u[23] == '-' &&
		u[14] >= '1' && u[14] <= '8' && strings.IndexByte("89abAB", u[19]) >= 0
}

func partOfUUID(c byte) bool { return c == '-' || hexValue(c) >= 0 }

// panAt looks for a card number that begins with the digit at s[i:] and ends
// where a group of digits ends: text around a number may end in digits too, as in
// "4… 4… 4… 4… 12/34".
func panAt(s string, i, shortest int) (end int, ok bool) {
	var digits [longestPAN]byte
	n := 0
	for after := letter; i < len(s); {
		kind, value, size := characterAt(s, i)
		switch {
		case kind == digit && n == longestPAN, kind == letter:
			return 0, false
		case kind == digit:
			digits[n] = value
			n++
		case n >= shortest && isPAN(digits[:n]):
			return i, true
		case kind == other, after != digit:
			return 0, false
		}
		after = kind
		i += size
	}
	return i, n >= shortest && isPAN(digits[:n])
}

// isPAN tells whether digits (values 0 to 9, 13 to 19 of them) are a card number.
func isPAN(digits []byte) bool { return issued(digits) && Luhn(digits) }

// issued holds the prefixes and lengths of the card networks: Visa; Mastercard;
// American Express; Diners Club; JCB; Discover, UnionPay, Maestro and RuPay
// (5 and 6 without Mastercard); RuPay and UnionPay in the eighties; Mir; Troy;
// Humo; Uzcard.
func issued(d []byte) bool {
	two := int(d[0])*10 + int(d[1])
	four := two*100 + int(d[2])*10 + int(d[3])
	n := len(d)
	switch {
	case d[0] == 4:
		return n == 13 || n == 16 || n == 19
	case two >= 51 && two <= 55, four >= 2221 && four <= 2720, four == 9792, four == 9860, four == 8600:
		return n == 16
	case two == 34, two == 37:
		return n == 15
	case two == 36, two == 38, two == 39:
		return n == 14 || n >= 16
	case four >= 3000 && four <= 3059, four == 3095:
		return n == 14 || n >= 16
	case four == 2131, four == 1800:
		return n == 15
	case four >= 3528 && four <= 3589, four >= 2200 && four <= 2205, two == 81, two == 82:
		return n >= 16
	case two == 50, two >= 56 && two <= 69:
		return n >= 14
	default:
		return false
	}
}

// Luhn tells whether digits pass the check of card numbers. They are values from 0 to
// 9 or their ASCII characters: both have the value in the low four bits, so that a
// number need not be copied to be checked.
func Luhn(digits []byte) bool {
	sum := 0
	for i, d := range digits {
		v := int(d & 0x0f)
		if (len(digits)-i)%2 == 0 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return sum%10 == 0
}

// kind is what a character is to a card number.
type kind byte

const (
	other kind = iota
	digit
	letter
	separator
)

// ascii holds the kind of every ASCII character.
var ascii = func() (kinds [utf8.RuneSelf]kind) {
	for c := range kinds {
		switch {
		case c >= '0' && c <= '9':
			kinds[c] = digit
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			kinds[c] = letter
		case c == ' ', c == '-', c == '.', c == '+':
			kinds[c] = separator
		}
	}
	return kinds
}()

// characterAt reads the character at s[i:]: its kind, a digit's value, its bytes.
func characterAt(s string, i int) (k kind, value byte, size int) {
	if c := s[i]; c < utf8.RuneSelf {
		return ascii[c], c - '0', 1
	}
	r, size := utf8.DecodeRuneInString(s[i:])
	switch {
	case unicode.Is(unicode.Nd, r):
		return digit, digitValue(r), size
	case unicode.IsLetter(r), unicode.IsMark(r):
		return letter, 0, size
	case unicode.Is(unicode.Zs, r), unicode.Is(unicode.Pd, r), r == '．', r == '。', r == '·', r == '\u200b', r == '\u00ad', r == '\u2060':
		// Spaces and dashes of every width, the dots of East Asian texts, and
		// the characters that cannot be seen.
		return separator, 0, size
	default:
		return other, 0, size
	}
}

// digitValue relies on every script's digits standing together, from 0 to 9.
func digitValue(r rune) byte {
	for _, block := range unicode.Nd.R16 {
		if rune(block.Lo) <= r && r <= rune(block.Hi) {
			return byte((r - rune(block.Lo)) % 10)
		}
	}
	for _, block := range unicode.Nd.R32 {
		if rune(block.Lo) <= r && r <= rune(block.Hi) {
			return byte((r - rune(block.Lo)) % 10)
		}
	}
	return 0
}

// percentDecoded reads %XX as a URL would. What is not an escape stays as it is.
func percentDecoded(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' && i+2 < len(s) && hexValue(s[i+1]) >= 0 && hexValue(s[i+2]) >= 0 {
			c = byte(hexValue(s[i+1])<<4 | hexValue(s[i+2]))
			i += 2
		}
		out = append(out, c)
	}
	return string(out)
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	default:
		return -1
	}
}

// base64HidesPAN decodes every stretch of the base64 alphabets that can hold a
// card number, at each of the four places where a group of four may begin.
func base64HidesPAN(s string, shortest int) bool {
	for i := 0; i < len(s); {
		start := i
		for i < len(s) && base64Alphabets[s[i]] {
			i++
		}
		if stretch := s[start:i]; len(stretch) >= 4*shortest/3 {
			for offset := range 4 {
				if mayHoldDigits(stretch[offset:]) && decodedHasPAN(stretch[offset:], shortest) {
					return true
				}
			}
		}
		i++
	}
	return false
}

// base64Alphabets holds the characters of both: the standard one, and that of URLs.
var base64Alphabets = func() (in [256]bool) {
	for c, k := range ascii {
		in[c] = k == digit || k == letter || strings.IndexByte("+/-_", byte(c)) >= 0
	}
	return in
}()

// mayHoldDigits is a cheap look ahead: in base64 of digits, spaces, hyphens and
// dots, each group of four begins with one of five letters. Thirteen digits fill
// at least three whole groups, whatever stands before them.
func mayHoldDigits(stretch string) bool {
	inRow := 0
	for i := 0; i+4 <= len(stretch); i += 4 {
		switch stretch[i] {
		case 'I', 'L', 'M', 'N', 'O':
			if inRow++; inRow == 3 {
				return true
			}
		default:
			inRow = 0
		}
	}
	return false
}

func decodedHasPAN(stretch string, shortest int) bool {
	stretch = strings.NewReplacer("-", "+", "_", "/").Replace(stretch)
	if len(stretch)%4 == 1 {
		stretch = stretch[:len(stretch)-1]
	}
	decoded, err := base64.RawStdEncoding.DecodeString(stretch)
	if err != nil {
		return false
	}
	_, _, found := findPAN(string(decoded), shortest)
	return found
}
