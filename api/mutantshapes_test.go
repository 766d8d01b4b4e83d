package api

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// otherKind is a value of another kind than the shape's.
func otherKind(m *mutation, s spot) bool {
	c, number := m.canary(), strconv.Itoa(770_000_000+m.IntN(9_999_999))
	kinds := map[string]string{
		huma.TypeString: quoted(c), huma.TypeInteger: choose(m, []string{number, number + "e400", "-" + number + ".5"}), huma.TypeBoolean: choose(m, []string{"true", "false"}),
		huma.TypeArray: "[" + quoted(c) + "]", huma.TypeObject: `{"a":` + quoted(c) + `}`,
	}
	delete(kinds, s.sh.kind)
	texts := slices.Sorted(mapsValues(kinds))
	if s.sh.kind == huma.TypeInteger {
		texts = append(texts, "1.5", "1e0", "-0.0", "1e300", "1e400", "-1e999", "9223372036854775808", "1E2")
	}
	s.at.kind, s.at.text = kindBool, choose(m, texts)
	return m.invalid(s.place, c, number)
}

func mapsValues(all map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, v := range all {
			if !yield(v) {
				return
			}
		}
	}
}

func noNull(m *mutation, s spot) bool {
	if s.sh.nullable {
		return false
	}
	s.at.kind, s.at.text = kindNull, "null"
	return m.invalid(s.place)
}

// wrongText fits no enumeration, pattern or format.
func wrongText(m *mutation, s spot) bool {
	if s.sh.kind != huma.TypeString || len(s.sh.enum) == 0 && s.sh.pattern == nil && s.sh.format == nil {
		return false
	}
	c := m.canary()
	s.at.kind, s.at.text = kindString, quoted(choose(m, []string{" ", "\x00", "\n", "\u202e", "\u200b", "é", "\U0001f4b3", "\u0430"})+c)
	return m.invalid(s.place, c)
}

func tooLong(m *mutation, s spot) bool {
	if s.sh.kind != huma.TypeString || s.sh.maxLen > 5000 {
		return false
	}
	c := m.canary()
	s.at.kind, s.at.text = kindString, quoted(c+strings.Repeat(choose(m, []string{"x", "ä", "\U0001f4b3", "\u0301"}), s.sh.maxLen))
	return m.invalid(s.place, c)
}

func tooShort(m *mutation, s spot) bool {
	if s.sh.minLen == 0 {
		return false
	}
	s.at.kind, s.at.text = kindBool, `""`
	if s.sh.kind == huma.TypeArray {
		s.at.text = "[]"
	}
	return m.invalid(s.place)
}

func outOfRange(m *mutation, s spot) bool {
	if s.sh.kind != huma.TypeInteger {
		return false
	}
	s.at.text = choose(m, []string{"0", "-1", "100000", "9223372036854775807", "-9223372036854775808", "4294967297"})
	return m.invalid(s.place)
}

func unknownName(m *mutation, s spot) bool {
	if s.at.kind != kindObject || s.sh.extra != nil {
		return false
	}
	c := m.canary()
	name := choose(m, []string{"unknown", "__proto__", "constructor", "$schema", "id ", "", "\x00", "\u202e", strings.Repeat("n", 5000)})
	if slices.Contains(s.at.names, quoted(name)) {
		return false
	}
	s.at.add(quoted(name), choose(m, []string{quoted(c), "{}", "[]", "null", `[{"a":` + quoted(c) + `}]`}))
	return m.invalid(shownPlace(s.place, name), c)
}

// shownPlace is where an answer says that a member stands.
func shownPlace(parent, name string) string {
	return (&place{parent: &place{name: parent}, name: name}).String()
}

// answersName is a member of some answer, which nobody may set.
func answersName(m *mutation, s spot) bool {
	if s.at.kind != kindObject || s.sh.extra != nil {
		return false
	}
	name := choose(m, answerNames())
	if s.sh.members[name] != nil || slices.Contains(s.at.names, quoted(name)) {
		return false
	}
	c := m.canary()
	s.at.add(quoted(name), choose(m, []string{quoted(c), "true", "1", "null", `"active"`, `{"status":"verified"}`, `"acme"`}))
	return m.invalid(shownPlace(s.place, name), c)
}

var answers = []reflect.Type{
	reflect.TypeFor[PaymentMethod](), reflect.TypeFor[SetupIntent](), reflect.TypeFor[Subscription](), reflect.TypeFor[Organization](),
	reflect.TypeFor[IssuedKey](), reflect.TypeFor[TestClock](), reflect.TypeFor[Event](), reflect.TypeFor[Verification](), reflect.TypeFor[Card](),
}

func answerNames() (names []string) {
	for _, t := range answers {
		for _, f := range reflect.VisibleFields(t) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// renamed is a name that a careless reader takes for the known one.
func renamed(m *mutation, s spot) bool {
	if s.parent == nil || s.parent.kind != kindObject || strings.Contains(s.place, ".metadata.") {
		return false
	}
	was, _ := strconv.Unquote(s.parent.names[s.index])
	if !strings.HasSuffix(s.place, "."+was) {
		return false
	}
	name := choose(m, []string{
		strings.ToUpper(was), strings.ToUpper(was[:1]) + was[1:], strings.ReplaceAll(was, "s", "\u017f"), strings.ReplaceAll(was, "k", "\u212a"),
		strings.ReplaceAll(was, "a", "\u0430"), strings.ReplaceAll(was, "o", "\u043e"), was + " ", was + "\x00", was + "\u200b", "\ufeff" + was,
		strings.ReplaceAll(was, "_", ""), strings.ReplaceAll(was, "_", "-"), was + "[]", was + ".", "\u202e" + was,
	})
	if slices.Contains(s.parent.names, quoted(name)) {
		return false
	}
	s.parent.names[s.index] = quoted(name)
	return m.invalid(shownPlace(s.place[:len(s.place)-len(was)-1], name))
}

// leftOut is a member that is required.
func leftOut(m *mutation, s spot) bool {
	if !s.required {
		return false
	}
	s.parent.names, s.parent.items = slices.Delete(s.parent.names, s.index, s.index+1), slices.Delete(s.parent.items, s.index, s.index+1)
	return m.invalid(s.place)
}

// tooMany is one item, or one key, more than there may be.
func tooMany(m *mutation, s spot) bool {
	switch {
	case s.at.kind == kindArray && s.sh.maxLen < 1000 && len(s.at.items) > 0:
		for range s.sh.maxLen {
			again := *s.at.items[0]
			s.at.items = append(s.at.items, &again)
		}
	case s.at.kind == kindObject && s.sh.maxMembers < 1000:
		for range s.sh.maxMembers + 1 {
			m.added++
			s.at.add(quoted(fmt.Sprint("more", m.added)), `"x"`)
		}
	default:
		return false
	}
	return m.invalid(s.place)
}

// number makes a card number of a known network.
func (m *mutation) number() string {
	issuer := choose(m, []struct {
		prefix string
		digits int
	}{{"4", 16}, {"4", 19}, {"51", 16}, {"2221", 16}, {"34", 15}, {"37", 15}, {"36", 14}, {"3528", 16}, {"6011", 16}, {"62", 19}, {"2200", 16}})
	digits := make([]byte, issuer.digits)
	for i := range digits {
		digits[i] = byte(m.IntN(10))
	}
	for i := range issuer.prefix {
		digits[i] = issuer.prefix[i] - '0'
	}
	sum := 0
	for i, d := range digits[:len(digits)-1] {
		v := int(d)
		if (len(digits)-i)%2 == 0 {
			v = v*2/10 + v*2%10
		}
		sum += v
	}
	digits[len(digits)-1] = byte((10 - sum%10) % 10)
	for i := range digits {
		digits[i] += '0'
	}
	return string(digits)
}

// written is a card number as somebody may write it, and what of it must not be
// shown.
func (m *mutation) written() (text string, canaries []string) {
	number := m.number()
	joint := choose(m, []string{" ", "-", ".", "\u00a0", "\u2011", "\u200b"})
	grouped := number[:4] + joint + number[4:8] + joint + number[8:12] + joint + number[12:]
	shifted := func(zero rune) string {
		return strings.Map(func(r rune) rune { return zero + r - '0' }, number)
	}
	text = choose(m, []string{
		number, grouped, "see " + number + " there", "(" + grouped + ")", number + " 12/34", shifted('\uff10'), shifted('\u0660'), shifted('\u0966'),
		base64.StdEncoding.EncodeToString([]byte(number)), base64.RawURLEncoding.EncodeToString([]byte("n=" + number)), "%" + fmt.Sprintf("%x", number[0]) + number[1:],
		number[:6] + "%20" + number[6:], "a=" + number + "&b", number[:4] + "+" + number[4:],
	})
	return text, []string{text, number, grouped}
}

// cardInText is a card number in the place of a string.
func cardInText(m *mutation, s spot) bool {
	if s.sh.kind != huma.TypeString {
		return false
	}
	text, canaries := m.written()
	s.at.kind, s.at.text = kindString, quoted(text)
	return m.screened(s.place, canaries...)
}

// cardInName is a card number as the name of a member.
func cardInName(m *mutation, s spot) bool {
	if s.at.kind != kindObject {
		return false
	}
	text, canaries := m.written()
	if utf8.RuneCountInString(text) > 40 {
		return false
	}
	s.at.add(quoted(text), `"x"`)
	return m.screened(s.place, canaries...)
}

// cardAsNumber is a card number without quotes, where it belongs or not.
func cardAsNumber(m *mutation, s spot) bool {
	number := m.number()
	s.at.kind, s.at.text = kindNumber, choose(m, []string{number, number + ".0", number + ".5"})
	return m.screened(s.place, number)
}
