package api

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

func TestStrictParserRefusesWhatIsNotJSON(t *testing.T) {
	deep := strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)
	for name, text := range map[string]string{
		"nothing":                 "",
		"space":                   " \n",
		"duplicate name":          `{"a":1,"a":1}`,
		"duplicate escaped":       `{"a":1,"\u0061":2}`,
		"duplicate deep":          `{"x":[{"a":1,"b":2,"a":3}]}`,
		"trailing value":          `{} {}`,
		"trailing comma":          `{"a":1,}`,
		"trailing comma in array": `[1,]`,
		"leading comma":           `[,1]`,
		"no colon":                `{"a" 1}`,
		"no name":                 `{1:2}`,
		"single quotes":           `{'a':1}`,
		"comment":                 `{}//`,
		"byte order mark":         "\ufeff{}",
		"not UTF-8":               "{\"a\":\"\xff\"}",
		"lone surrogate":          `"\ud800"`,
		"half pair":               `"\ud800\u0041"`,
		"low surrogate":           `"\udc00"`,
		"unknown escape":          `"\x41"`,
		"short escape":            `"\u12"`,
		"control character":       "\"a\nb\"",
		"open string":             `"abc`,
		"open escape":             `"abc\`,
		"too deep":                deep,
		"leading zero":            `01`,
		"plus":                    `+1`,
		"no fraction":             `1.`,
		"no exponent":             `1e`,
		"hex":                     `0x1`,
		"NaN":                     `NaN`,
		"capital":                 `True`,
		"open object":             `{"a":1`,
		"open array":              `[1`,
		"many, then a duplicate":  manyMembers(100) + `,"n7":1}`,
	} {
		if v, err := parseStrict([]byte(text)); err == nil {
			t.Errorf("%s: %q was taken for %+v", name, text, v)
		}
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"n` + strconv.Itoa(i) + `":1`)
	}
	return b.String()
}

func TestStrictParserReadsJSON(t *testing.T) {
	for _, text := range []string{
		`null`, `true`, `false`, `0`, `-0`, `-1.5e+10`, `1e400`, `""`, `"\u00e4\ud83d\ude00\/\b\f\n\r\t\"\\"`, `"ä😀"`, `[]`, `{}`,
		" [ 1 , { \"a\" : [ ] } ]\r\n", `{"a":{"b":[1,"2",null,true]},"A":1}`, manyMembers(300) + "}",
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth),
	} {
		v, err := parseStrict([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var want any
		if err := unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		if got := plain(&v); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// unmarshal keeps numbers as they are written.
func unmarshal(text []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(to)
}

// plain is a value as unmarshal reads it.
func plain(v *value) any {
	switch v.kind {
	case kindNull:
		return nil
	case kindBool:
		return v.text == "true"
	case kindNumber:
		return json.Number(v.text)
	case kindString:
		return v.text
	case kindArray:
		list := []any{}
		for i := range v.items {
			list = append(list, plain(&v.items[i]))
		}
		return list
	default:
		object := map[string]any{}
		for i, name := range v.names {
			object[name] = plain(&v.items[i])
		}
		return object
	}
}

// Whatever the strict parser takes, encoding/json reads the same from it; what
// encoding/json refuses, it refuses too.
func FuzzStrictParser(f *testing.F) {
	for _, seed := range []string{`{"type":"card","token":"tok_visa","metadata":{"a":"b"}}`, `[1,-2.5e3,"\ud83d\ude00",null]`, `{"a":1,"a":2}`, `{"a":`, "\"\xff\"", `"\ud800"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := parseStrict(text)
		if err != nil {
			return
		}
		var want any
		if err := unmarshal(text, &want); err != nil {
			t.Fatalf("%q was taken, and encoding/json says %v", text, err)
		}
		if got := plain(&v); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %v, want %v", text, got, want)
		}
		again, err := parseStrict(text)
		if err != nil || string(appendCanonical(nil, &v)) != string(appendCanonical(nil, &again)) {
			t.Fatalf("%q: not the same twice", text)
		}
	})
}

func TestCanonicalFormIgnoresLayoutAndNothingElse(t *testing.T) {
	canonical := func(text string) string {
		t.Helper()
		v, err := parseStrict([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return string(appendCanonical(nil, &v))
	}
	for _, same := range [][2]string{
		{`{"a":1,"b":[true,null]}`, ` { "b" : [ true , null ] , "a" : 1.0e0 } `},
		{`{"a":"ä"}`, `{"\u0061":"\u00e4"}`},
	} {
		if canonical(same[0]) != canonical(same[1]) {
			t.Errorf("%s and %s are told apart", same[0], same[1])
		}
	}
	texts := []string{`{}`, `[]`, `null`, `""`, `"null"`, `true`, `"true"`, `1`, `"1"`, `{"a":1}`, `{"a":"1"}`, `{"a":[1,2]}`, `{"a":[12]}`,
		`{"ab":"c"}`, `{"a":"bc"}`, `["a","b"]`, `["ab",""]`, `{"a":{"b":1}}`, `{"a":{},"b":1}`, `{"A":1}`, `{"a":null}`, `[[],[]]`, `[[[]]]`, `-1`, `11`}
	seen := map[string]string{}
	for _, text := range texts {
		c := canonical(text)
		if other, ok := seen[c]; ok {
			t.Errorf("%s and %s are not told apart", text, other)
		}
		seen[c] = text
	}
}
