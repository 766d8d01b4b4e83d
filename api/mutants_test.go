package api

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/pmledger/pmledger/domain"
)

// node is a JSON value as text, so that it can be made wrong anywhere.
type node struct {
	text  string   // of what is not an object or an array
	names []string // in quotes; of an object, parallel to items
	items []*node
	kind  valueKind
}

func nodeOf(v *value) *node {
	n := &node{kind: v.kind, text: v.text}
	if v.kind == kindString {
		n.text = quoted(v.text)
	}
	if v.kind == kindNull {
		n.text = "null"
	}
	for i := range v.items {
		if v.kind == kindObject {
			n.names = append(n.names, quoted(v.names[i]))
		}
		n.items = append(n.items, nodeOf(&v.items[i]))
	}
	return n
}

func quoted(s string) string {
	text, _ := json.Marshal(s) // a string can always be marshalled
	return string(text)
}

func (n *node) add(name, text string) {
	n.names, n.items = append(n.names, name), append(n.items, &node{text: text, kind: kindBool})
}

func (n *node) write(b *strings.Builder) {
	opened, closed := "{", "}"
	switch n.kind {
	case kindArray:
		opened, closed = "[", "]"
	case kindObject:
	default:
		b.WriteString(n.text)
		return
	}
	b.WriteString(opened)
	for i, item := range n.items {
		if i > 0 {
			b.WriteByte(',')
		}
		if n.kind == kindObject {
			b.WriteString(n.names[i] + ":")
		}
		item.write(b)
	}
	b.WriteString(closed)
}

// spot is a value in a body, with what it must look like.
type spot struct {
	sh     *shape
	at     *node
	parent *node // nil for the whole body
	index  int   // in parent
	place  string

	required bool
}

// spots are those of every value that a shape knows.
func spots(s spot) []spot {
	if s.sh == nil {
		return nil // a name that was made up
	}
	all := []spot{s}
	if s.at.kind != kindArray && s.at.kind != kindObject {
		return all
	}
	for i, item := range s.at.items {
		inner := spot{at: item, parent: s.at, index: i}
		if s.at.kind == kindArray {
			inner.sh, inner.place = s.sh.items, fmt.Sprintf("%s[%d]", s.place, i)
		} else {
			name, _ := strconv.Unquote(s.at.names[i])
			if inner.sh = s.sh.members[name]; inner.sh == nil {
				inner.sh = s.sh.extra
			}
			inner.place, inner.required = shownPlace(s.place, name), slices.Contains(s.sh.required, name)
		}
		all = append(all, spots(inner)...)
	}
	return all
}

// fault makes a value wrong, and says where the answer must see what. canaries
// must not be shown. It changes nothing and returns false where it does not apply.
type fault func(m *mutation, s spot) bool

// mutation is a body on its way to be wrong.
type mutation struct {
	*rand.Rand
	status   int
	code     domain.Code
	place    string
	canaries []string
	whole    func(string) string // done to the text in the end
	added    int                 // members of tooMany, so that no two have one name
}

func (m *mutation) malformed(canaries ...string) bool {
	m.status, m.code, m.place, m.canaries = 400, codeBodyMalformed, "", append(m.canaries, canaries...)
	return true
}

func (m *mutation) invalid(place string, canaries ...string) bool {
	m.status, m.code, m.place, m.canaries = 422, domain.CodeValidationFailed, place, append(m.canaries, canaries...)
	return true
}

func (m *mutation) screened(place string, canaries ...string) bool {
	m.status, m.code, m.place, m.canaries = 422, domain.CodePANDetected, place, append(m.canaries, canaries...)
	return true
}

// canary is text that stands nowhere else.
func (m *mutation) canary() string { return fmt.Sprintf("kanary%08x", m.Uint32()) }

func choose[T any](m *mutation, from []T) T { return from[m.IntN(len(from))] }

// shapeFaults is where in allFaults those begin that leave the text JSON.
const shapeFaults = 6

// allFaults has those with many forms more than once.
var allFaults = []fault{
	brokenText, brokenText, brokenText, repeatedName, wholeText, wholeText, otherKind, otherKind, noNull, wrongText, tooLong, tooShort, outOfRange,
	unknownName, answersName, answersName, renamed, renamed, leftOut, tooMany, cardInText, cardInText, cardInName, cardInName, cardAsNumber,
}

// brokenText is no JSON, or not as this API takes it.
func brokenText(m *mutation, s spot) bool {
	c := m.canary()
	s.at.kind, s.at.text = kindBool, choose(m, []string{
		"\"\xff" + c + "\"", "\"" + c + "\xc0\xaf\"", "\"\xed\xa0\x80" + c + "\"", "\"" + c + "\xf5\x80\x80\x80\"", // overlong, a surrogate, beyond Unicode
		`"\ud800` + c + `"`, `"` + c + `\udc00"`, `"\ud800\u0041` + c + `"`, `"\uD83D` + c + `\uDE00"`,
		"\"\x00" + c + "\"", "\"" + c + "\n\"", "\"" + c + "\x1f\"", `"\x41` + c + `"`, `"\u12` + c + `"`, `"\u{41}` + c + `"`, `"` + c, `'` + c + `'`, c,
		"01", "+1", "1.", ".5", "1e", "0x1F", "NaN", "Infinity", "-", "1_000", "True", "nul", "undefined", ",",
		"[1,]", `{"a":1,}`, "[,]", "{,}", `{"a"}`, `{a:1}`, `{"a":1 "b":2}`, "/**/1", "1//", "[1}", `{"a":1]`,
		strings.Repeat("[", maxDepth+1+m.IntN(5000)), strings.Repeat(`{"a":`, maxDepth+1) + `"` + c + `"` + strings.Repeat("}", maxDepth+1),
		strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1), strings.Repeat(`[{"a":`, 9+m.IntN(50)),
	})
	return m.malformed(c)
}

// repeatedName stands twice in one object, written alike or with escapes.
func repeatedName(m *mutation, s spot) bool {
	if s.parent == nil || s.parent.kind != kindObject {
		return false
	}
	c, name := m.canary(), s.parent.names[s.index]
	if i := 1 + m.IntN(len(name)-2); m.IntN(2) == 0 && !strings.Contains(name, `\`) {
		name = name[:i] + fmt.Sprintf(choose(m, []string{`\u%04x`, `\u%04X`}), name[i]) + name[i+1:]
	}
	s.parent.add(name, choose(m, []string{s.at.text, quoted(c), "null"}))
	if last := s.parent.items[len(s.parent.items)-1]; last.text == "" {
		last.text = "1"
	}
	return m.malformed(c)
}

// wholeText is wrong before, behind or around the body.
func wholeText(m *mutation, s spot) bool {
	if s.parent != nil || s.at.kind != kindObject {
		return false
	}
	c := m.canary()
	switch m.IntN(5) {
	case 0:
		m.whole = func(text string) string {
			return text[:len(text)-1] + strings.Repeat(" ", maxBody+m.IntN(maxBody)) + "}"
		}
		m.status, m.code, m.place = 413, codeBodyTooLarge, ""
		return true
	case 1:
		m.whole = func(text string) string { return text[:1+m.IntN(len(text)-1)] }
	case 2:
		m.whole = func(text string) string {
			return text + choose(m, []string{text, "{}", ",", "}", "]", c, "\x00", "\ufeff", "null", "//" + c, ` "` + c + `"`, "\x1a"})
		}
	case 3:
		m.whole = func(text string) string {
			return choose(m, []string{"\ufeff", "\x00", ")]}',\n", "//" + c + "\n", c, "\u2028", "\v"}) + text
		}
	default:
		m.whole = func(text string) string { return utf16Text(m, text) }
	}
	return m.malformed(c)
}

func utf16Text(m *mutation, text string) string {
	var b strings.Builder
	swap := m.IntN(2) * 8
	for _, unit := range append([]uint16{0xfeff}, utf16.Encode([]rune(text))...) {
		b.WriteByte(byte(unit >> (8 - swap)))
		b.WriteByte(byte(unit >> swap))
	}
	return b.String()
}
