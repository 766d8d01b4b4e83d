package api

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway/sandbox"
)

// The scripts in testdata are conversations with the real handler, and meant to
// be read as documentation. Blocks are separated by empty lines:
//
//	# prose
//	@key reader acme test payment-methods.read     issue a key, called reader
//	@as reader                                     use it from here on (demo: every scope)
//	@clock 24h                                     let time pass
//	@settle                                        let the worker and the expiry clock do what is due
//
//	POST /v1/customers/cus_1/payment-methods       a request: headers, then the body
//	Idempotency-Key: k1
//	{"type": "card", "token": "tok_visa"}
//
//	201                                            what must come back
//	ETag: "2"
//	X-Absent: -
//	{"id": "{{=card}}", "status": "active"}
//
// A body that is expected names the members that matter; lists are compared item
// by item. {{=name}} keeps a text, {{name}} stands for it, {{*}} for any text.
// {{signature}} signs the body of a webhook.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := &script{t: t, bench: newBench(t, func(o *Options) { o.RawCards = true }), key: devKey, keys: map[string]string{"demo": devKey, "nobody": ""}, kept: map[string]string{}}
			s.bench.key(DevOrganization, domain.ModeTest) // which makes the organization
			s.run(string(text))
		})
	}
}

type script struct {
	*bench
	t     *testing.T
	key   string
	keys  map[string]string
	kept  map[string]string
	last  *answer
	asked string
}

var requestLine = regexp.MustCompile(`^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) ((?:/|\{\{)\S*)$`)

func (s *script) run(text string) {
	line := 1
	for block := range strings.SplitSeq(text, "\n\n") {
		lines := strings.Split(block, "\n")
		for len(lines) > 0 && (lines[0] == "" || lines[0][0] == '#' || lines[0][0] == '@') {
			if strings.HasPrefix(lines[0], "@") {
				s.direct(strings.Fields(lines[0][1:]))
			}
			lines, line = lines[1:], line+1
		}
		if len(lines) > 0 {
			s.block(line, lines)
		}
		line += len(lines) + 1
	}
	if s.last != nil {
		s.t.Errorf("%s: nothing is expected of it", s.asked)
	}
}

func (s *script) direct(words []string) {
	switch words[0] {
	case "key":
		s.keys[words[1]] = s.bench.key(words[2], domain.Mode(words[3]), words[4:]...)
	case "as":
		key, ok := s.keys[words[1]]
		if !ok {
			s.t.Fatalf("there is no key %s", words[1])
		}
		s.key = key
	case "clock":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.clock.add(d)
	case "settle":
		s.settle()
	default:
		s.t.Fatalf("unknown directive %s", words[0])
	}
}

// block sends a request, or checks the answer to the one before.
func (s *script) block(line int, lines []string) {
	var headers []string
	rest := lines[1:]
	for len(rest) > 0 && !strings.HasPrefix(rest[0], "{") && !strings.HasPrefix(rest[0], "[") && strings.Contains(rest[0], ":") {
		headers, rest = append(headers, rest[0]), rest[1:]
	}
	body := strings.Join(rest, "\n")
	if m := requestLine.FindStringSubmatch(lines[0]); m != nil {
		if s.last != nil {
			s.t.Fatalf("line %d: nothing is expected of %s", line, s.asked)
		}
		s.kept["signature"] = sandbox.Sign([]byte(s.fill(body)), webhookSecret, s.sandbox.Now())
		for i := range headers {
			headers[i] = s.fill(headers[i])
		}
		a := s.as(s.key, m[1], s.fill(m[2]), s.fill(body), headers...)
		s.last, s.asked = &a, fmt.Sprintf("line %d: %s", line, lines[0])
		return
	}
	status, err := strconv.Atoi(strings.Fields(lines[0])[0])
	if err != nil || s.last == nil {
		s.t.Fatalf("line %d: neither a request nor an answer to one: %s", line, lines[0])
	}
	s.expect(line, status, headers, body)
	s.last = nil
}

func (s *script) expect(line, status int, headers []string, body string) {
	got := *s.last
	if got.status != status {
		s.t.Fatalf("%s\nline %d: status %d, want %d\n%s", s.asked, line, got.status, status, got.body)
	}
	for _, h := range headers {
		name, want, _ := strings.Cut(h, ": ")
		values := got.header.Values(name)
		if want == "-" {
			if len(values) > 0 {
				s.t.Errorf("%s\nline %d: header %s is %q, want none", s.asked, line, name, values)
			}
			continue
		}
		if have := strings.Join(values, ", "); !s.match(want, have) {
			s.t.Errorf("%s\nline %d: header %s is %q, want %q", s.asked, line, name, have, want)
		}
	}
	if body == "" {
		return
	}
	var want, have any
	if err := json.Unmarshal([]byte(body), &want); err != nil {
		s.t.Fatalf("line %d: %v", line, err)
	}
	if err := json.Unmarshal([]byte(got.body), &have); err != nil {
		s.t.Fatalf("%s: the answer is not JSON: %v: %s", s.asked, err, got.body)
	}
	if problem := s.compare("", want, have); problem != "" {
		s.t.Errorf("%s\nline %d: %s\n%s", s.asked, line, problem, got.body)
	}
}

// compare tells where an answer is not what is expected, "" when it is.
func (s *script) compare(at string, want, have any) string {
	switch want := want.(type) {
	case map[string]any:
		object, ok := have.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v, want an object", at, have)
		}
		for name, w := range want {
			h, there := object[name]
			if !there {
				return fmt.Sprintf("%s.%s is missing", at, name)
			}
			if problem := s.compare(at+"."+name, w, h); problem != "" {
				return problem
			}
		}
		if len(want) == 0 && len(object) > 0 {
			return fmt.Sprintf("%s is %v, want {}", at, have)
		}
		return ""
	case []any:
		list, ok := have.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Sprintf("%s has other items than expected: %v", at, have)
		}
		for i := range want {
			if problem := s.compare(fmt.Sprintf("%s[%d]", at, i), want[i], list[i]); problem != "" {
				return problem
			}
		}
		return ""
	case string:
		if text, ok := have.(string); ok && s.match(want, text) {
			return ""
		}
	}
	if reflect.DeepEqual(want, have) {
		return ""
	}
	return fmt.Sprintf("%s is %v, want %v", at, have, want)
}

var placeholder = regexp.MustCompile(`\{\{(=?)(\w+|\*)\}\}`)

// fill puts kept texts into a request.
func (s *script) fill(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(p string) string {
		name := strings.Trim(p, "{}")
		value, ok := s.kept[name]
		if !ok {
			s.t.Fatalf("nothing is kept as %s", name)
		}
		return value
	})
}

// match compares a text with one that has placeholders, and keeps what they ask for.
func (s *script) match(want, have string) bool {
	var names []string
	pattern := "^"
	end := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(want, -1) {
		pattern += regexp.QuoteMeta(want[end:m[0]])
		name, keep := want[m[4]:m[5]], m[2] != m[3]
		switch {
		case keep:
			names = append(names, name)
			pattern += "(.+)"
		case name == "*":
			pattern += ".*"
		default:
			pattern += regexp.QuoteMeta(s.kept[name])
		}
		end = m[1]
	}
	found := regexp.MustCompile(pattern + regexp.QuoteMeta(want[end:]) + "$").FindStringSubmatch(have)
	for i, name := range names {
		if found != nil {
			s.kept[name] = found[i+1]
		}
	}
	return found != nil
}
