package eventstore_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
)

// TestAFaultyExportIsRefusedByName changes one line of an export, the seventh unless
// said otherwise, into what no ledger has written.
func TestAFaultyExportIsRefusedByName(t *testing.T) {
	lines := exportOf(t, sourceLog(t))
	in := func(line int, old, new string) func([]string) []string {
		return func(l []string) []string {
			changed := strings.Replace(l[line-1], old, new, 1)
			if changed == l[line-1] {
				t.Fatalf("%q is not in line %d: %s", old, line, l[line-1])
			}
			l[line-1] = changed
			return l
		}
	}
	swap := func(l []string) []string { l[6], l[7] = l[7], l[6]; return l }
	for _, c := range []struct {
		name   string
		change func([]string) []string
		says   []string
	}{
		{"no JSON", in(7, `{`, ``), []string{"line 7: it is not a record of an export"}},
		{"cut off", func(l []string) []string { l[8] = l[8][:len(l[8])/2]; return l[:9] }, []string{"line 9: it has no end: the export was cut off"}},
		{"a changed byte of data", in(7, `"facts_from":"gateway"`, `"facts_from":"caller"`), []string{"line 8 (version", "that one was changed"}},
		{"a changed byte of metadata", in(7, `"tester"`, `"nobody"`), []string{"line 8", "that one was changed"}},
		{"a space", in(7, `,"data":`, `, "data":`), []string{"line 7 (version", "it is not as pmledger events export writes it"}},
		{"a member twice", in(7, `{"position":7`, `{"position":1,"position":7`), []string{"line 7", "it is not as"}},
		{"another member", in(7, `,"data":`, `,"more":1,"data":`), []string{"line 7", "it is not as"}},
		{"many faults", in(7, `"position":7`, `"position":0,"x":1`), []string{"line 7", "position is missing or 0"}},
		{"an unknown type", in(7, `"type":"`, `"type":"x`), []string{"line 7", "xpayment_method."}},
		{"another time", in(7, `"time":"2026`, `"time":"2027`), []string{"line 7", "time is not the metadata's"}},
		{"no id", in(7, `"id":"`, `"id":"x`), []string{"line 7", "id is not a UUID"}},
		{"a missing line", func(l []string) []string { return append(l[:6:6], l[7:]...) }, []string{"line 7", "lines are missing"}},
		{"a line of a stream's end missing", func(l []string) []string { return append(l[:len(l)-2:len(l)-2], l[len(l)-1]) }, []string{"lines are missing"}},
		{"a doubled line", func(l []string) []string { return append(l[:7:7], l[6:]...) }, []string{"line 8", "doubled"}},
		{"lines in another order", swap, []string{"line 7", "another order"}},
		{"another log's beginning", in(1, `"stream":"ledger"`, `"stream":"ledgers"`), []string{"line 1", "its identity, in stream ledger"}},
		{"a beginning that is not one", func(l []string) []string { return l[3:] }, []string{"the store is empty", "from its start"}},
		{"nothing", func([]string) []string { return nil }, []string{"the export is empty"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := memory.New()
			_, err := importInto(target, c.change(append([]string(nil), lines...))...)
			if err == nil {
				t.Fatal("it was imported")
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("it says %q, want %q", err, says)
				}
			}
			held := logOf(t, target)
			for i, r := range held {
				if !strings.Contains(lines[i], r.ID.String()) {
					t.Errorf("record %d was appended and is not line %d", r.Position, i+1)
				}
			}
			if _, err := importInto(target, lines...); err != nil {
				t.Errorf("the whole export after it: %v", err)
			}
		})
	}
}

// The export of a log that is broken itself is in order as a file.
func TestABrokenHistoryIsNotImported(t *testing.T) {
	for name, c := range map[string]struct {
		breaks func([]eventstore.Record) []eventstore.Record
		says   string
	}{
		"a changed record": {func(log []eventstore.Record) []eventstore.Record {
			log[1].Metadata = []byte(strings.Replace(string(log[1].Metadata), "tester", "nobody", 1))
			return log
		}, "line 3 (version 2 of stream customer-acme+cus_0): prev is"},
		"a record that is gone": {func(log []eventstore.Record) []eventstore.Record {
			return slices.Delete(log, 2, 3)
		}, "line 3 (version 3 of stream customer-acme+cus_0): version 3 follows version 1; prev is"},
		"a time that goes back": {func(log []eventstore.Record) []eventstore.Record {
			log[2].Metadata = []byte(strings.Replace(string(log[2].Metadata), `"time":"2026`, `"time":"2025`, 1))
			return log
		}, "lies before the previous record's"},
	} {
		t.Run(name, func(t *testing.T) {
			target := memory.New()
			_, err := importInto(target, exportOfRecords(t, c.breaks(logOf(t, sourceLog(t))))...)
			if err == nil || !strings.Contains(err.Error(), c.says) || len(logOf(t, target)) != 0 {
				t.Errorf("got %v, %d records; want %q", err, len(logOf(t, target)), c.says)
			}
		})
	}
}

func TestAllFaultsOfALineAreNamed(t *testing.T) {
	_, err := eventstore.ParseExported([]byte(`{"position":0,"follows":"x","stream":"","version":0,"id":"","type":"","time":"","data":{},"metadata":{}}`))
	for _, fault := range []string{"position", "follows", "stream", "version", "id is", "type", "metadata"} {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%q is not named: %v", fault, err)
		}
	}
}

// Where a batch is large enough to be appended before the fault is met, what stands
// before it is in the store, in whole commands.
func TestWhatStandsBeforeAFaultIsWholeCommands(t *testing.T) {
	lines := exportOf(t, sourceLog(t))
	target := &plainStore{Store: memory.New()}
	broken := append([]string(nil), lines...)
	for i := 8; i < len(broken); i++ {
		broken[i] = strings.Replace(broken[i], `"actor":"tester"`, `"actor":"nobody"`, 1)
	}
	if _, err := importInto(target, broken...); err == nil {
		t.Fatal("it was imported")
	}
	held := logOf(t, target)
	last, err := eventstore.DecodeMetadata(held[len(held)-1].Metadata)
	if err != nil || len(held) >= len(lines) || strings.Contains(lines[len(held)], `"command_id":"`+last.CommandID+`"`) {
		t.Errorf("%d records, the last of command %s; line %s; %v", len(held), last.CommandID, lines[len(held)], err)
	}
}

func TestExportRefusesWhatIsNotOneLineOfJSON(t *testing.T) {
	metadata := []byte(`{"time":"2026-05-06T12:00:00.000Z","schema":"1","prev":"","command_id":"x"}`)
	for _, data := range []string{"", "{", "{\n}", " {}", "{} "} {
		if _, err := (eventstore.Exported{Record: eventstore.Record{Data: []byte(data), Metadata: metadata}}).Append(nil); err == nil {
			t.Errorf("%q was written", data)
		}
	}
	line, err := eventstore.Exported{Record: eventstore.Record{Position: 7, Stream: "s", Type: "t", Data: []byte(`{"a":"<é>"}`), Metadata: metadata}}.Append(nil)
	if err != nil || !bytes.Contains(line, []byte(`"data":{"a":"<é>"},"metadata":`+string(metadata)+"}\n")) {
		t.Errorf("%s, %v", line, err)
	}
}
