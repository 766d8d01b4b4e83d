package domain

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// testNumbers are the numbers that the networks publish for tests.
var testNumbers = map[string]string{
	"visa":             "4242424242424242",
	"visa debit":       "4000056655665556",
	"visa 19":          "4000000000000000006",
	"mastercard":       "5555555555554444",
	"mastercard 2":     "2223003122003222",
	"mastercard 51":    "5105105105105100",
	"amex":             "378282246310005",
	"amex 34":          "343434343434343",
	"discover":         "6011111111111117",
	"discover 65":      "6510000000000000",
	"diners 14":        "30569309025904",
	"diners 38":        "38520000023237",
	"diners 16":        "3056930009020004",
	"jcb":              "3566002020360505",
	"unionpay":         "6200000000000005",
	"unionpay 19":      "6205500000000000004",
	"maestro":          "6759649826438453",
	"maestro 50":       "5018000000000009",
	"rupay":            "8171999927660000",
	"mir":              "2200000000000004",
	"discover (JCB 2)": "3530111333300000",
}

func TestEveryNetworksTestNumberIsFound(t *testing.T) {
	for name, number := range testNumbers {
		for _, text := range []string{number, " " + number, "my card " + number + ", thanks", `{"n":"` + number + `"}`, "\n" + number + "\n", "tok_" + number} {
			if !ContainsPAN(text) {
				t.Errorf("%s: a card number is not found in %q", name, text)
			}
		}
	}
}

func TestSeparatorsEncodingsAndScriptsDoNotHideANumber(t *testing.T) {
	const number = "4242 4242 4242 4242"
	plain := strings.ReplaceAll(number, " ", "")
	hidden := map[string]string{
		"hyphens":                "4242-4242-4242-4242",
		"dots":                   "4242.4242.4242.4242",
		"single digits":          strings.Join(strings.Split(plain, ""), " "),
		"uneven groups":          "42424-24242-424242",
		"expiry after it":        number + " 12/34",
		"expiry in the run":      number + " 12 34 123",
		"digits before it":       "12 34 " + number,
		"full width":             "４２４２４２４２４２４２４２４２",
		"full width, mixed":      "４２４２-4242 ４２４２．4242",
		"arabic-indic":           "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢",
		"devanagari":             "४२४२४२४२४२४२४२४२",
		"mathematical bold":      "𝟒𝟐𝟒𝟐𝟒𝟐𝟒𝟐𝟒𝟐𝟒𝟐𝟒𝟐𝟒𝟐",
		"no-break spaces":        strings.ReplaceAll(number, " ", "\u00a0"),
		"zero-width spaces":      strings.ReplaceAll(number, " ", "\u200b"),
		"en dashes":              strings.ReplaceAll(number, " ", "–"),
		"url encoded":            url.QueryEscape(number),
		"url path":               "https://shop.example/pay?card=" + url.PathEscape(number) + "&x=1",
		"url encoded digits":     "%34%32%34%32%34%32%34%32%34%32%34%32%34%32%34%32",
		"base64":                 base64.StdEncoding.EncodeToString([]byte(plain)),
		"base64 with text":       "see " + base64.StdEncoding.EncodeToString([]byte(`{"number":"`+plain+`","exp":"12/34"}`)) + " there",
		"base64 for URLs":        base64.RawURLEncoding.EncodeToString([]byte("??>" + number + "~~")),
		"base64 behind a letter": "x" + base64.RawURLEncoding.EncodeToString([]byte("n="+plain)),
		"base64 behind a word":   "tok_" + base64.RawURLEncoding.EncodeToString([]byte("n="+plain)),
	}
	for name, text := range hidden {
		if !ContainsPAN(text) {
			t.Errorf("%s: a card number is not found in %q", name, text)
		}
	}
}

func TestWhatOnlyLooksLikeANumberIsLeftAlone(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                  "",
		"short":                    "4242",
		"thirteen digits":          "4222222222222",
		"fails the check digit":    "4242424242424241",
		"no issuer":                "9999999999999995",
		"wrong length for issuer":  "42424242424242426"[:15],
		"letter before":            "x4242424242424242",
		"letter after":             "4242424242424242x",
		"letter of another tongue": "4242424242424242д",
		"more digits":              "42424242424242424242424242",
		"two separators":           "4242  4242  4242  4242",
		"a slash between":          "4242/4242/4242/4242",
		"uuid":                     "01234567-4242-4242-8171-999927660000",
		"iban":                     "DE89370400440532013000",
		"isbn":                     "978-3-16-148410-0",
		"base64 of words":          base64.StdEncoding.EncodeToString([]byte("all that is here is harmless text")),
		"percent sign":             "100% of 42",
	} {
		if ContainsPAN(text) {
			t.Errorf("%s: %q is taken for a card number", name, text)
		}
	}
}

func TestThirteenDigitsCountInANumberFieldOnly(t *testing.T) {
	const old = "4222222222222"
	if ContainsPAN(old) || !ContainsPANInNumberField(old) {
		t.Errorf("free text %v, number field %v; want false, true", ContainsPAN(old), ContainsPANInNumberField(old))
	}
	if encoded := base64.RawStdEncoding.EncodeToString([]byte("n=" + old)); !ContainsPANInNumberField(encoded) {
		t.Errorf("13 digits in base64 are not found in a number field")
	}
}

func TestFindPANNamesThePlaceOfTheNumber(t *testing.T) {
	start, end, found := FindPAN("ref é 4242-4242-4242-4242 12/34")
	if !found || start != 7 || end != 26 {
		t.Errorf("found %v at %d..%d, want true at 7..26", found, start, end)
	}
}

func TestLuhnTakesValuesAndCharacters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		characters := []byte(rapid.StringMatching(`[0-9]{1,19}`).Draw(t, "digits"))
		values := make([]byte, len(characters))
		for i, c := range characters {
			values[i] = c - '0'
		}
		if Luhn(characters) != Luhn(values) {
			t.Fatalf("%s: %v as characters, %v as values", characters, Luhn(characters), Luhn(values))
		}
	})
	for number, want := range map[string]bool{"4242424242424242": true, "4242424242424241": false, "79927398713": true, "79927398710": false} {
		if Luhn([]byte(number)) != want {
			t.Errorf("%s: %v, want %v", number, !want, want)
		}
	}
}

// randomPAN draws a number that some issuer could have issued.
func randomPAN(t *rapid.T) string {
	prefix := rapid.SampledFrom([]string{"4", "51", "55", "2221", "2720", "34", "37", "6011", "644", "65", "62", "3528", "3589", "50", "6759"}).Draw(t, "prefix")
	length := 16
	if prefix == "34" || prefix == "37" {
		length = 15
	}
	digits := []byte(prefix)
	for len(digits) < length-1 {
		digits = append(digits, byte('0'+rapid.IntRange(0, 9).Draw(t, "digit")))
	}
	for check := byte('0'); check <= '9'; check++ {
		values := append(append([]byte{}, digits...), check)
		for i := range values {
			values[i] -= '0'
		}
		if Luhn(values) {
			return string(append(digits, check))
		}
	}
	panic("one of ten check digits fits")
}

func TestAnyIssuedNumberIsFoundInAnyGroupingAndCleanTextAroundIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := randomPAN(t)
		var b strings.Builder
		for i, d := range number {
			if i > 0 && rapid.Bool().Draw(t, "split") {
				b.WriteString(rapid.SampledFrom([]string{" ", "-", ".", "\u00a0"}).Draw(t, "separator"))
			}
			b.WriteRune(d)
		}
		text := rapid.SampledFrom([]string{"", "card: ", "a ", "12/34, ", "é:"}).Draw(t, "before") + b.String() +
			rapid.SampledFrom([]string{"", ".", ", exp 12/34", " x", "\x00", "\xff"}).Draw(t, "after")
		if !ContainsPAN(text) {
			t.Fatalf("not found in %q", text)
		}
		ascii := "n=" + strings.ReplaceAll(b.String(), "\u00a0", " ")
		if encoded := base64.StdEncoding.EncodeToString([]byte(ascii)); !ContainsPAN(encoded) {
			t.Fatalf("not found in base64 of %q", ascii)
		}
		changed := []byte(number)
		at := rapid.IntRange(0, len(changed)-1).Draw(t, "at")
		changed[at] = '0' + (changed[at]-'0'+byte(rapid.IntRange(1, 9).Draw(t, "by")))%10
		if ContainsPAN(string(changed)) {
			t.Fatalf("%s has one digit changed and is still taken for a card number", changed)
		}
	})
}

func TestFalsePositivesStayRare(t *testing.T) {
	const samples = 100_000
	r := rand.New(rand.NewPCG(2026, 11))
	randomUUID := func(version byte) uuid.UUID {
		var u uuid.UUID
		for i := range u {
			u[i] = byte(r.Uint32())
		}
		u[6], u[8] = u[6]&0x0f|version<<4, u[8]&0x3f|0x80
		return u
	}
	instant := func() time.Time { return time.Unix(1_500_000_000+r.Int64N(600_000_000), r.Int64N(1e9)) }
	for _, row := range []struct {
		name    string
		allowed int // of the samples
		make    func() string
	}{
		{"uuid v4", 0, func() string { return randomUUID(4).String() }},
		{"uuid v7", 0, func() string { return randomUUID(7).String() }},
		{"method id", 0, func() string { return string(NewMethodID(randomUUID(7))) }},
		{"hex of 64", 0, func() string {
			return fmt.Sprintf("%016x%016x%016x%016x", r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
		}},
		{"base64 of 48 random bytes", 0, func() string {
			b := make([]byte, 48)
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			return base64.StdEncoding.EncodeToString(b)
		}},
		{"unix seconds", 0, func() string { return strconv.FormatInt(instant().Unix(), 10) }},
		{"unix ms", 0, func() string { return strconv.FormatInt(instant().UnixMilli(), 10) }},
		{"unix us", 0, func() string { return strconv.FormatInt(instant().UnixMicro(), 10) }},
		{"unix ns", 0, func() string { return strconv.FormatInt(instant().UnixNano(), 10) }},
		{"rfc 3339", 0, func() string { return instant().UTC().Format(time.RFC3339Nano) }},
		{"date and time", 0, func() string { return instant().UTC().Format("2006-01-02 15:04:05.000") }},
		{"telephone", 0, func() string {
			return fmt.Sprintf("+%d %d %d", 1+r.IntN(98), 100+r.IntN(900), 1_000_000+r.IntN(9_000_000))
		}},
		{"amounts", 0, func() string {
			return fmt.Sprintf("%d.%02d EUR of %d.%02d", r.IntN(100000), r.IntN(100), r.IntN(100000), r.IntN(100))
		}},
	} {
		hits, example := 0, ""
		for range samples {
			if text := row.make(); ContainsPAN(text) {
				hits, example = hits+1, text
			}
		}
		t.Logf("%-26s %d of %d", row.name, hits, samples)
		if hits > row.allowed {
			t.Errorf("%s: %d of %d are taken for card numbers, e.g. %q; allowed are %d", row.name, hits, samples, example, row.allowed)
		}
	}
}

func TestEveryScriptsDigitsStandTogether(t *testing.T) {
	blocks := 0
	check := func(lo, hi rune) {
		blocks++
		if (hi-lo+1)%10 != 0 {
			t.Errorf("digits %U to %U are not whole tens: digitValue would misread them", lo, hi)
		}
	}
	for _, b := range unicode.Nd.R16 {
		if b.Stride != 1 {
			t.Errorf("digits from %U do not follow each other", b.Lo)
		}
		check(rune(b.Lo), rune(b.Hi))
	}
	for _, b := range unicode.Nd.R32 {
		if b.Stride != 1 {
			t.Errorf("digits from %U do not follow each other", b.Lo)
		}
		check(rune(b.Lo), rune(b.Hi))
	}
	if blocks < 30 {
		t.Errorf("only %d blocks of digits were looked at", blocks)
	}
}

const cleanText = "Invoice 2026-1117 of customer cus_0193c2f0a1b27c3d8e4f5a6b7c8d9e0f, due on 2026-12-01, 1 250.00 EUR. "

func TestCleanASCIITextIsScreenedWithoutAllocation(t *testing.T) {
	text := strings.Repeat(cleanText, 40)
	if n := testing.AllocsPerRun(50, func() { ContainsPAN(text) }); n != 0 {
		t.Errorf("%v allocations for a clean text", n)
	}
}

func FuzzContainsPAN(f *testing.F) {
	for _, number := range testNumbers {
		f.Add(number)
	}
	f.Add("%34%3")
	f.Add("\xff４２")
	f.Fuzz(func(t *testing.T, s string) {
		start, end, found := FindPAN(s)
		if !found {
			return
		}
		if start < 0 || end > len(s) || end-start < 14 {
			t.Fatalf("found at %d..%d of %d bytes", start, end, len(s))
		}
		if !ContainsPAN(s) || !ContainsPAN(s[start:end]) {
			t.Fatalf("what FindPAN finds, ContainsPAN does not: %q", s[start:end])
		}
	})
}

func BenchmarkContainsPAN(b *testing.B) {
	text := strings.Repeat(cleanText, 40)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if ContainsPAN(text) {
			b.Fatal("the text is clean")
		}
	}
}
