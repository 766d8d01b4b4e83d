package domain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// reader reads JSON member by member, for the events that are read most: without
// reflection, it takes a third of the time. What is rare (escapes, numbers that are
// not plain, members it does not know) it hands to encoding/json, and the tests
// hold it to the same answers. The first error stays; after it nothing is read.
//
//	for r.object(); r.member(); {
//		switch string(r.name) { … }
//	}
type reader struct {
	data  []byte
	at    int
	name  []byte // of the member that is read now
	first bool   // the next member is its object's first
	err   error
}

var errNotJSON = errors.New("the data is not the JSON that was written")

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = fmt.Errorf("at byte %d: %w", r.at, err)
	}
}

// peek returns the next character that is not white space, or 0.
func (r *reader) peek() byte {
	for r.err == nil && r.at < len(r.data) {
		switch c := r.data[r.at]; c {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return c
		}
	}
	return 0
}

func (r *reader) take(c byte) bool {
	if r.peek() != c {
		r.fail(errNotJSON)
		return false
	}
	r.at++
	return true
}

// null takes a null, if one stands here: it leaves what is read as it is.
func (r *reader) null() bool {
	if r.peek() == 'n' {
		r.skip()
		return true
	}
	return false
}

func (r *reader) object() {
	r.take('{')
	r.first = true
}

// member reads on to the value of the object's next member. After the last one it
// takes the object's end and returns false.
func (r *reader) member() bool {
	if r.peek() == '}' {
		r.at++
		r.first = false
		return false
	}
	if !r.first && !r.take(',') {
		return false
	}
	r.first = false
	if r.name = r.quoted(); r.err != nil {
		return false
	}
	return r.take(':')
}

// end makes sure that nothing follows.
func (r *reader) end() error {
	if r.peek() != 0 || r.err == nil && r.at < len(r.data) {
		r.fail(errNotJSON)
	}
	return r.err
}

// quoted returns a string's content. It is part of the data when nothing in it is
// escaped, which is nearly always.
func (r *reader) quoted() []byte {
	if !r.take('"') {
		return nil
	}
	start, plain := r.at, true
	for r.at < len(r.data) {
		switch c := r.data[r.at]; {
		case c == '"':
			content := r.data[start:r.at]
			r.at++
			if plain {
				return content
			}
			return r.unquoted(r.data[start-1 : r.at])
		case c == '\\':
			plain = false
			r.at++
		case c < ' ':
			r.fail(errNotJSON)
			return nil
		case c >= utf8.RuneSelf:
			plain = false
		}
		r.at++
	}
	r.fail(errNotJSON)
	return nil
}

func (r *reader) unquoted(token []byte) []byte {
	var content string
	if err := json.Unmarshal(token, &content); err != nil {
		r.fail(err)
	}
	return []byte(content)
}

func (r *reader) text() string {
	if r.null() {
		return ""
	}
	return string(r.quoted())
}

// texts reads an object whose members are strings.
func (r *reader) texts() map[string]string {
	if r.null() {
		return nil
	}
	m := map[string]string{}
	for r.object(); r.member(); {
		name := string(r.name)
		m[name] = r.text()
	}
	return m
}

func (r *reader) number() int {
	if r.null() {
		return 0
	}
	start := r.at
	r.skip()
	if r.err != nil {
		return 0
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(r.data[start:r.at])))
	if err != nil {
		r.fail(errNotJSON)
	}
	return n
}

func (r *reader) time() (t time.Time) {
	if r.null() {
		return t
	}
	start := r.at
	if r.quoted(); r.err == nil {
		if err := t.UnmarshalJSON(r.data[start:r.at]); err != nil {
			r.fail(err)
		}
	}
	return t
}

// rest reads a value of any shape into v, with encoding/json.
func (r *reader) rest(v any) {
	r.peek()
	start := r.at
	r.skip()
	if r.err == nil {
		if err := json.Unmarshal(r.data[start:r.at], v); err != nil {
			r.fail(err)
		}
	}
}

// skip passes over a value and makes sure that it is one.
func (r *reader) skip() {
	r.peek()
	start, depth := r.at, 0
	for r.err == nil && r.at < len(r.data) {
		switch c := r.data[r.at]; c {
		case '"':
			r.quoted()
			r.at--
		case '{', '[':
			depth++
		case '}', ']', ',':
			if depth == 0 {
				r.checked(start)
				return
			}
			if c != ',' {
				depth--
			}
		}
		r.at++
	}
	r.fail(errNotJSON)
}

func (r *reader) checked(start int) {
	if r.err == nil && !json.Valid(r.data[start:r.at]) {
		r.fail(errNotJSON)
	}
}
