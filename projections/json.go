package projections

import (
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// object writes one JSON object by appending to a buffer, member after member, in
// the order of the calls. It exists because the objects of the contract have some
// forty members and are rendered three times per event: reflection would be most
// of what a projection costs.
type object struct {
	b     []byte
	any   bool     // a member was written
	some  bool     // only those of these members are written
	these []string // names
}

func begin(b []byte) object { return object{b: append(b, '{')} }

// beginOnly starts an object that leaves out every member not named.
func beginOnly(b []byte, names []string) object {
	return object{b: append(b, '{'), some: true, these: names}
}

func (o *object) end() []byte { return append(o.b, '}') }

// key writes a member's name and tells whether its value is to follow. Names are
// plain ASCII and need no escapes.
func (o *object) key(name string) bool {
	if o.some && !slices.Contains(o.these, name) {
		return false
	}
	if o.any {
		o.b = append(o.b, ',')
	}
	o.any = true
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
	return true
}

func (o *object) raw(name, value string) {
	if o.key(name) {
		o.b = append(o.b, value...)
	}
}

func (o *object) null(name string) { o.raw(name, "null") }

func (o *object) text(name, value string) {
	if o.key(name) {
		o.b = appendString(o.b, value)
	}
}

// textOrNull writes null for what does not apply.
func (o *object) textOrNull(name, value string) {
	if value == "" {
		o.null(name)
		return
	}
	o.text(name, value)
}

// textIfAny leaves the member out when it is empty.
func (o *object) textIfAny(name, value string) {
	if value != "" {
		o.text(name, value)
	}
}

func (o *object) boolean(name string, value bool) {
	if o.key(name) {
		o.b = strconv.AppendBool(o.b, value)
	}
}

func (o *object) number(name string, value uint64) {
	if o.key(name) {
		o.b = strconv.AppendUint(o.b, value, 10)
	}
}

// time writes RFC 3339 in UTC, without zeros at the end of a fraction.
func (o *object) time(name string, value time.Time) {
	if value.IsZero() {
		o.null(name)
		return
	}
	if o.key(name) {
		o.b = append(o.b, '"')
		o.b = value.UTC().AppendFormat(o.b, time.RFC3339Nano)
		o.b = append(o.b, '"')
	}
}

func (o *object) texts(name string, values []string) {
	if !o.key(name) {
		return
	}
	o.b = append(o.b, '[')
	for i, value := range values {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendString(o.b, value)
	}
	o.b = append(o.b, ']')
}

// dictionary writes a map with its keys sorted.
func (o *object) dictionary(name string, values map[string]string) {
	if !o.key(name) {
		return
	}
	o.b = append(o.b, '{')
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for i, key := range keys {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendString(o.b, key)
		o.b = append(o.b, ':')
		o.b = appendString(o.b, values[key])
	}
	o.b = append(o.b, '}')
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string. What is not UTF-8 becomes U+FFFD, and the
// two line separators that JavaScript trips over are escaped.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[from:i]...)
			b = appendEscape(b, c)
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(append(b, s[from:i]...), `\ufffd`...)
			from = i + size
		case r == '\u2028' || r == '\u2029':
			b = append(append(b, s[from:i]...), `\u202`...)
			b = append(b, hexDigits[r&0xf])
			from = i + size
		}
		i += size
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	default:
		return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
	}
}
