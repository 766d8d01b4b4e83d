package api

import (
	"bytes"
	"unicode/utf8"

	"github.com/pmledger/pmledger/domain"
)

// parseRawCard reads the JSON of a card in place: the digits are never copied out
// of the buffer, and no parser that keeps copies sees them. It takes one flat
// object with the members of RawCardRequest. What is not JSON is refused with
// body.malformed, everything else becomes a fault of the card.
func parseRawCard(body []byte) (*rawCard, error) {
	p := rawParser{text: body}
	r := &rawCard{}
	if !utf8.Valid(body) {
		return nil, p.malformed("it is not UTF-8")
	}
	p.space()
	if !p.take('{') {
		return nil, p.malformed("it is not an object")
	}
	seen := map[string]bool{}
	p.space()
	for first := true; !p.take('}'); first = false {
		if !first && !p.take(',') {
			return nil, p.malformed("a comma or the end of an object is missing")
		}
		p.space()
		name, plain, err := p.string()
		if err != nil {
			return nil, err
		}
		p.space()
		if !p.take(':') {
			return nil, p.malformed("a colon is missing")
		}
		p.space()
		member := rawMember(name, plain)
		if member != "" && seen[member] {
			return nil, p.malformed("a name stands twice in one object")
		}
		seen[member] = true
		if err := p.member(r, member); err != nil {
			return nil, err
		}
		p.space()
	}
	p.space()
	if p.at < len(body) {
		return nil, p.malformed("something follows its end")
	}
	for _, name := range []string{"number", "expiration_date"} {
		if !seen[name] {
			r.add("body."+name, "is required")
		}
	}
	return r, nil
}

// rawMember is the name of a member that a card may have, or "".
func rawMember(name []byte, plain bool) string {
	for _, known := range [...]string{"number", "expiration_date", "security_code", "external_id", "redirect_url", "set_as_default"} {
		if plain && string(name) == known {
			return known
		}
	}
	return ""
}

type rawParser struct {
	text []byte
	at   int
}

func (p *rawParser) malformed(what string) error {
	return domain.Refuse(codeBodyMalformed, "%s", (&malformedError{what, p.at}).Error())
}

func (p *rawParser) space() {
	for p.at < len(p.text) && bytes.IndexByte([]byte(" \t\r\n"), p.text[p.at]) >= 0 {
		p.at++
	}
}

func (p *rawParser) take(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// word takes a literal such as null.
func (p *rawParser) word(w string) bool {
	if bytes.HasPrefix(p.text[p.at:], []byte(w)) {
		p.at += len(w)
		return true
	}
	return false
}

// string is what stands between two quotes; plain tells that no escape is in it.
func (p *rawParser) string() (inside []byte, plain bool, err error) {
	if !p.take('"') {
		return nil, false, p.malformed("a string is missing")
	}
	start := p.at
	plain = true
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			inside = p.text[start:p.at]
			p.at++
			return inside, plain, nil
		case c < ' ':
			return nil, false, p.malformed("a control character stands in a string")
		case c == '\\':
			plain = false
			p.at++
		}
	}
	return nil, false, p.malformed("a string has no end")
}

// member reads a member's value. Values are strings without escapes (a card has
// no use for them), true, false and null; nothing is nested.
func (p *rawParser) member(r *rawCard, name string) error {
	location := "body." + name
	if name == "" {
		r.add("body", "has a member that is not known here")
	}
	switch {
	case p.word("null"):
		if name == "number" || name == "expiration_date" || name == "set_as_default" {
			r.add(location, "must not be null")
		}
		return nil
	case p.word("true"), p.word("false"):
		if name != "set_as_default" && name != "" {
			r.add(location, "must be a string")
		}
		r.setAsDefault = p.text[p.at-2] == 'u' // tr-u-e, fal-s-e
		return nil
	case p.at >= len(p.text) || p.text[p.at] != '"':
		return p.malformed("a value is missing, or is neither a string nor true, false or null")
	}
	inside, plain, err := p.string()
	if err != nil || name == "" {
		return err
	}
	if !plain {
		r.add(location, "must be written without escapes")
		return nil
	}
	r.set(name, inside)
	return nil
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
	case "set_as_default":
		r.add("body.set_as_default", "must be true or false")
	case "external_id":
		text := string(inside)
		r.externalID.Value = &text
	case "redirect_url":
		text := string(inside)
		r.redirectURL.Value = &text
	}
}

func digitsOnly(b []byte) bool { return len(bytes.Trim(b, "0123456789")) == 0 }
