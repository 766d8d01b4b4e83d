package eventstore

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Metadata are written and read without encoding/json where that changes nothing.
func TestMetadataAreStoredAsEncodingJSONWould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringMatching(`[ -~]{0,40}`), rapid.String())
		m := Metadata{
			Time:   time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "time")).UTC(),
			Schema: rapid.IntRange(1, 99).Draw(t, "schema"),
			Prev:   text.Draw(t, "prev"), CommandID: text.Draw(t, "command"), RequestMAC: text.Draw(t, "mac"),
			Actor: text.Draw(t, "actor"), Reason: text.Draw(t, "reason"), Correlation: text.Draw(t, "correlation"),
			Causation: text.Draw(t, "causation"), Traceparent: text.Draw(t, "traceparent"),
		}
		got := m.Encode()
		stored := storedMetadata{
			m.Time.Format(timeForm), strconv.Itoa(m.Schema), m.Prev, m.CommandID, m.RequestMAC, m.Actor, m.Reason,
			m.Correlation, m.Causation, m.Traceparent,
		}
		want, err := json.Marshal(stored)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Fatalf("stored as\n%s\nwant\n%s", got, want)
		}
		if err := json.Unmarshal(want, &stored); err != nil { // what is not UTF-8 is replaced
			t.Fatal(err)
		}
		back, err := DecodeMetadata(got)
		if err != nil {
			t.Fatal(err)
		}
		m.Prev, m.CommandID, m.RequestMAC, m.Actor, m.Reason = stored.Prev, stored.CommandID, stored.RequestMAC, stored.Actor, stored.Reason
		m.Correlation, m.Causation, m.Traceparent = stored.Correlation, stored.Causation, stored.Traceparent
		if back != m {
			t.Fatalf("read back as\n%+v\nwant\n%+v", back, m)
		}
	})
}

// What is read without encoding/json is read as it would: neither more nor less
// is accepted, and the same is found.
func TestMetadataAreReadAsEncodingJSONWould(t *testing.T) {
	for _, data := range []string{
		`{"time":"a"}`, `{}`, ``, `{`, `{"time"}`, `{"time":}`, `{"time":"a"`, `{"time":"a",}`, `{"time":"a"}}`,
		`{"time":"a" }`, `{"time":"a","time":"b"}`, `{"time":"","time":"b"}`, `{"TIME":"a"}`, `{"other":"a"}`, `{"time":1}`, `{"time":null}`,
		`{"time":"\u0061"}`, `{"prev":"\"","actor":"x"}`, `{"actor":"ä"}`, "{\"actor\":\"\xff\"}", "{\"actor\":\"\n\"}", `["time","a"]`,
		`{"time":"a":"b"}`, `{"time":"a""schema":"1"}`, `{time:"a"}`,
	} {
		var want storedMetadata
		wantErr := json.Unmarshal([]byte(data), &want)
		var got storedMetadata
		if got.readPlain([]byte(data)) && (wantErr != nil || got != want) {
			t.Errorf("%s is read as %+v, want %+v, %v", data, got, want, wantErr)
		}
	}
}
