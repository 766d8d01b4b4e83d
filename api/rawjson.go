package api

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"github.com/pmledger/pmledger/domain"
)

// parseRawCard reads the JSON of a card in place: the digits are never copied out
// of the buffer, and no parser that keeps copies sees them. What is not JSON, as
// parseStrict takes it, is refused with body.malformed; everything else that is not
// RawCardRequest becomes a fault of the card.
func parseRawCard(body []byte) (*rawCard, error) {
	p := rawParser{parser{text: body}}
	r := &rawCard{}
	if err := p.body(r); err != nil {
		return nil, domain.Refuse(codeBodyMalformed, "%s", err.Error())
	}
	return r, nil
}

// rawMember is the name of a member that a card may have, or "".
func rawMember(name []byte) string {
	for _, known := range [...]string{"number", "expiration_date", "security_code", "external_id", "redirect_url", "set_as_default"} {
		if sameText(name, []byte(known)) {
			return known
		}
	}
	return ""
}

// rawParser is the strict parser without what copies.
type rawParser struct{ parser }

// rawText is a value in the buffer. inside is what stands between the quotes of a
// string, plain that no escape is in it.
type rawText struct {
	kind   valueKind
	inside []byte
	plain  bool
	yes    bool // true
}

func (p *rawParser) body(r *rawCard) error {
	if !utf8.Valid(p.text) {
		return p.fault("it is not UTF-8")
	}
	seen := map[string]bool{}
	p.space()
	v, err := p.value(1, func(name []byte, v rawText) {
		member := rawMember(name)
		seen[member] = true
		r.member(member, v)
	})
	if err != nil {
		return err
	}
	p.space()
	if p.at < len(p.text) {
		return p.fault("something follows its end")
	}
	if v.kind != kindObject {
		r.otherKind = true
		r.add("body", "must be an object")
		return nil
	}
	for _, name := range []string{"number", "expiration_date"} {
		if !seen[name] {
			r.add("body."+name, "is required")
		}
	}
	return nil
}

// value reads past a value. member is told the members of an object, not those of
// what is inside it.
func (p *rawParser) value(depth int, member func(name []byte, v rawText)) (rawText, error) {
	switch c := p.next(); {
	case (c == '{' || c == '[') && depth > maxDepth:
		return rawText{}, p.fault("it is nested too deep")
	case c == '{':
		return rawText{kind: kindObject}, p.object(depth, member)
	case c == '[':
		return rawText{kind: kindArray}, p.array(depth)
	case c == '"':
		inside, plain, err := p.string()
		return rawText{kind: kindString, inside: inside, plain: plain}, err
	case c == '-' || c >= '0' && c <= '9':
		return rawText{kind: kindNumber}, p.number()
	default:
		v, err := p.word()
		return rawText{kind: v.kind, yes: v.text == "true"}, err
	}
}

func (p *rawParser) array(depth int) error {
	return p.list(']', "an array", func() error {
		_, err := p.value(depth+1, nil)
		return err
	})
}

func (p *rawParser) object(depth int, member func(name []byte, v rawText)) error {
	var names [][]byte
	return p.list('}', "an object", func() error {
		name, err := p.name(names)
		if err != nil {
			return err
		}
		names = append(names, name)
		p.space()
		v, err := p.value(depth+1, nil)
		if err == nil && member != nil {
			member(name, v)
		}
		return err
	})
}

// name reads a member's name and its colon, and refuses one that is there already.
func (p *rawParser) name(before [][]byte) ([]byte, error) {
	start := p.at
	if p.next() != '"' {
		return nil, p.fault("a name is missing")
	}
	name, _, err := p.string()
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(before, func(other []byte) bool { return sameText(name, other) }) {
		p.at = start
		return nil, p.fault("a name stands twice in one object")
	}
	return name, p.colon()
}

// string is what stands between two quotes; plain tells that no escape is in it.
func (p *rawParser) string() (inside []byte, plain bool, err error) {
	p.at++
	start := p.at
	plain = true
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"':
			inside = p.text[start:p.at]
			p.at++
			return inside, plain, nil
		case c < ' ':
			return nil, false, p.fault("a control character stands in a string")
		case c == '\\':
			plain = false
			if _, err := p.escape(); err != nil {
				return nil, false, err
			}
		default:
			p.at++
		}
	}
	return nil, false, p.fault("a string has no end")
}

// sameText tells whether the insides of two strings stand for the same text.
func sameText(a, b []byte) bool {
	left, right := parser{text: a}, parser{text: b}
	for left.at < len(a) && right.at < len(b) {
		if left.character() != right.character() {
			return false
		}
	}
	return left.at == len(a) && right.at == len(b)
}

// character reads on by one in a string that has been read before.
func (p *parser) character() rune {
	if p.next() == '\\' {
		r, _ := p.escape()
		return r
	}
	r, size := utf8.DecodeRune(p.text[p.at:])
	p.at += size
	return r
}

// member takes a member over, or notes what is wrong with its kind. Strings are
// taken without escapes: a card has no use for them.
func (r *rawCard) member(name string, v rawText) {
	location := "body." + name
	switch {
	case name == "":
		r.add("body", "has a member that is not known here")
	case v.kind == kindNull && (name == "number" || name == "expiration_date" || name == "set_as_default"):
		r.add(location, "must not be null")
	case v.kind == kindNull:
	case name == "set_as_default":
		if r.setAsDefault = v.yes; v.kind != kindBool {
			r.add(location, "must be true or false")
		}
	case v.kind != kindString:
		r.add(location, "must be a string")
	case !v.plain:
		r.add(location, "must be written without escapes")
	default:
		r.set(name, v.inside)
	}
}

// set takes a member over. Digits stay where they are; the rest becomes text.
func (r *rawCard) set(name string, inside []byte) {
	switch name {
	case "number":
		r.Number = inside
	case "expiration_date":
		r.expiration = inside
	case "security_code":
		r.SecurityCode = inside
	case "external_id":
		text := string(inside)
		r.externalID.Value = &text
	case "redirect_url":
		text := string(inside)
		r.redirectURL.Value = &text
	}
}

func digitsOnly(b []byte) bool { return len(bytes.Trim(b, "0123456789")) == 0 }
