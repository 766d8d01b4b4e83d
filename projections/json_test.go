package projections

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzAStringIsReadBackAsItWas(f *testing.F) {
	for _, s := range []string{"", "plain", "q\"b\\", "\x00\x1f\n\r\t", "é\u2028\u2029", "\xff\xc3", "</script>", "\U0001f600"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := appendString(nil, s)
		var got string
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); utf8.ValidString(s) && got != want {
			t.Errorf("%q became %q", s, got)
		}
		if !utf8.Valid(b) || strings.ContainsAny(string(b), "\u2028\u2029\n") {
			t.Errorf("%q is not safe on one line", b)
		}
	})
}

func TestAStoredRowThatIsCutShortIsNoticed(t *testing.T) {
	value := append(appendEnvelope(nil, &Message{Organization: "acme", Type: "x"}), "{}"...)
	for n := range len(value) - 1 {
		if _, err := decodeMessage(value[:n]); err == nil {
			t.Errorf("%d of %d bytes were taken for a message", n, len(value))
		}
	}
}
