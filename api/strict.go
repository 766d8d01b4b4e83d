package api

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects may be nested.
const maxDepth = 16

// valueKind is what a JSON value is.
type valueKind byte

const (
	kindNull valueKind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

// value is a parsed JSON value. Members keep the order they were written in.
type value struct {
	kind  valueKind
	text  string   // of a string; the literal of a number; "true" or "false"
	names []string // of an object, parallel to items
	items []value  // of an array or an object
}

// member finds an object's member by its exact name.
func (v *value) member(name string) (*value, bool) {
	for i, n := range v.names {
		if n == name {
			return &v.items[i], true
		}
	}
	return nil, false
}

// malformedError says why a text is not JSON as this API takes it. It names a
// place, never what stands there.
type malformedError struct {
	what string
	at   int
}

func (e *malformedError) Error() string {
	return fmt.Sprintf("the body is not valid JSON: %s at byte %d", e.what, e.at)
}

// parseStrict reads one JSON value (RFC 8259) and nothing after it. It refuses
// what other parsers let pass: text that is not UTF-8, a lone surrogate, a name
// that stands twice in one object, more than maxDepth levels. A number is kept as it
// is written, however large. Errors are *malformedError.
func parseStrict(text []byte) (value, error) {
	if !utf8.Valid(text) {
		return value{}, &malformedError{"it is not UTF-8", 0}
	}
	p := parser{text: text}
	p.space()
	v, err := p.value(1)
	if err != nil {
		return value{}, err
	}
	p.space()
	if p.at < len(text) {
		return value{}, p.fault("something follows its end")
	}
	return v, nil
}

type parser struct {
	text []byte
	at   int
}

func (p *parser) fault(what string) error { return &malformedError{what, p.at} }

func (p *parser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// next is the byte at hand, 0 at the end.
func (p *parser) next() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *parser) value(depth int) (value, error) {
	switch c := p.next(); {
	case c == '{' || c == '[':
		if depth > maxDepth {
			return value{}, p.fault("it is nested too deep")
		}
		if c == '{' {
			return p.object(depth)
		}
		return p.array(depth)
	case c == '"':
		text, err := p.string()
		return value{kind: kindString, text: text}, err
	case c == '-' || c >= '0' && c <= '9':
		start := p.at
		err := p.number()
		return value{kind: kindNumber, text: string(p.text[start:p.at])}, err
	default:
		return p.word()
	}
}

func (p *parser) word() (value, error) {
	rest := p.text[p.at:]
	for _, w := range [...]struct {
		text string
		kind valueKind
	}{{"true", kindBool}, {"false", kindBool}, {"null", kindNull}} {
		if len(rest) >= len(w.text) && string(rest[:len(w.text)]) == w.text {
			p.at += len(w.text)
			return value{kind: w.kind, text: w.text}, nil
		}
	}
	return value{}, p.fault("a value is missing")
}

func (p *parser) array(depth int) (value, error) {
	v := value{kind: kindArray}
	err := p.list(']', "an array", func() error {
		item, err := p.value(depth + 1)
		v.items = append(v.items, item)
		return err
	})
	return v, err
}

// list reads past a bracket, elements with commas between them, and the end that
// belongs to the bracket.
func (p *parser) list(end byte, what string, element func() error) error {
	p.at++
	p.space()
	if p.next() == end {
		p.at++
		return nil
	}
	for {
		p.space()
		if err := element(); err != nil {
			return err
		}
		p.space()
		switch p.next() {
		case ',':
			p.at++
		case end:
			p.at++
			return nil
		default:
			return p.fault("a comma or the end of " + what + " is missing")
		}
	}
}

func (p *parser) object(depth int) (value, error) {
	v := value{kind: kindObject}
	var seen map[string]struct{}
	err := p.list('}', "an object", func() error {
		name, err := p.name(&v, &seen)
		if err != nil {
			return err
		}
		p.space()
		item, err := p.value(depth + 1)
		v.names, v.items = append(v.names, name), append(v.items, item)
		return err
	})
	return v, err
}

// manyNames is the size from which an object's names are looked up in a map.
const manyNames = 24

// name reads a member's name and its colon, and refuses one that is there already.
func (p *parser) name(v *value, seen *map[string]struct{}) (string, error) {
	start := p.at
	if p.next() != '"' {
		return "", p.fault("a name is missing")
	}
	name, err := p.string()
	if err != nil {
		return "", err
	}
	twice := false
	if len(v.names) < manyNames {
		_, twice = v.member(name)
	} else {
		if *seen == nil {
			*seen = make(map[string]struct{}, 4*manyNames)
			for _, n := range v.names {
				(*seen)[n] = struct{}{}
			}
		}
		_, twice = (*seen)[name]
		(*seen)[name] = struct{}{}
	}
	if twice {
		p.at = start
		return "", p.fault("a name stands twice in one object")
	}
	return name, p.colon()
}

func (p *parser) colon() error {
	p.space()
	if p.next() != ':' {
		return p.fault("a colon is missing")
	}
	p.at++
	return nil
}

// number reads past a number.
func (p *parser) number() error {
	if p.next() == '-' {
		p.at++
	}
	if p.next() == '0' {
		p.at++
	} else if !p.digits() {
		return p.fault("a digit is missing")
	}
	if p.next() == '.' {
		p.at++
		if !p.digits() {
			return p.fault("a digit is missing")
		}
	}
	if c := p.next(); c == 'e' || c == 'E' {
		p.at++
		if c := p.next(); c == '+' || c == '-' {
			p.at++
		}
		if !p.digits() {
			return p.fault("a digit is missing")
		}
	}
	return nil
}

// digits reads one or more digits.
func (p *parser) digits() bool {
	start := p.at
	for c := p.next(); c >= '0' && c <= '9'; c = p.next() {
		p.at++
	}
	return p.at > start
}

func (p *parser) string() (string, error) {
	p.at++
	start := p.at
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"':
			text := string(p.text[start:p.at])
			p.at++
			return text, nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", p.fault("a control character stands in a string")
		default:
			p.at++
		}
	}
	return "", p.fault("a string has no end")
}

// escaped goes on with a string from its first backslash.
func (p *parser) escaped(start int) (string, error) {
	text := append([]byte(nil), p.text[start:p.at]...)
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			return string(text), nil
		case c < ' ':
			return "", p.fault("a control character stands in a string")
		case c != '\\':
			text = append(text, c)
			p.at++
		default:
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			text = utf8.AppendRune(text, r)
		}
	}
	return "", p.fault("a string has no end")
}

func (p *parser) escape() (rune, error) {
	p.at++
	c := p.next()
	p.at++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return p.codePoint()
	default:
		p.at -= 2
		return 0, p.fault("an escape is unknown")
	}
}

// codePoint reads what follows \u; two of them when the first is a surrogate.
func (p *parser) codePoint() (rune, error) {
	first, ok := p.hex4()
	if !ok {
		return 0, p.fault("an escape is incomplete")
	}
	if !utf16.IsSurrogate(first) {
		return first, nil
	}
	if p.next() == '\\' && p.at+1 < len(p.text) && p.text[p.at+1] == 'u' {
		p.at += 2
		if second, ok := p.hex4(); ok {
			if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
				return r, nil
			}
		}
	}
	return 0, p.fault("half of a surrogate pair stands alone")
}

func (p *parser) hex4() (rune, bool) {
	if p.at+4 > len(p.text) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(p.text[p.at:p.at+4]), 16, 16)
	if err != nil {
		return 0, false
	}
	p.at += 4
	return rune(n), true
}
