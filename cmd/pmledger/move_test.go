package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
)

// whereabouts is the member of an export's line that differs between stores.
var whereabouts = regexp.MustCompile(`^\{"position":\d+,`)

// exported is the export of a ledger.
func exported(t *testing.T, dir string, args ...string) string {
	t.Helper()
	code, text, talk := offline(dir, append([]string{"events", "export"}, args...)...)
	if code != exitOK {
		t.Fatalf("export ended with %d: %s", code, talk)
	}
	return text
}

// exportedAnywhere is what of an export does not depend on the store.
func exportedAnywhere(export string) string {
	var b strings.Builder
	for line := range strings.Lines(export) {
		b.WriteString(whereabouts.ReplaceAllString(line, "{"))
	}
	return b.String()
}

// importInto imports an export, has the log verified, and returns the summary.
func importInto(t *testing.T, dir, export string, args ...string) imported {
	t.Helper()
	code, text, talk := offline(dir, append([]string{"events", "import", fileOf(t, export), "--json"}, args...)...)
	var done imported
	if err := json.Unmarshal([]byte(text), &done); err != nil || code != exitOK {
		t.Fatalf("import ended with %d, %v: %s%s", code, err, text, talk)
	}
	if code, text, talk := offline(dir, append([]string{"history", "verify"}, args...)...); code != exitOK {
		t.Fatalf("history verify ended with %d: %s%s", code, text, talk)
	}
	return done
}

func fileOf(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "export.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// copied copies files and folders of one data folder to another.
func copied(t *testing.T, to, from string, names ...string) {
	t.Helper()
	for _, name := range names {
		source := filepath.Join(from, name)
		info, err := os.Stat(source)
		if err == nil && info.IsDir() {
			err = os.CopyFS(filepath.Join(to, name), os.DirFS(source))
		} else if err == nil {
			var data []byte
			if data, err = os.ReadFile(source); err == nil {
				err = os.WriteFile(filepath.Join(to, name), data, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// movable is a history with something of everything, and what to ask about it.
func movable(s *instance) (asked []string) {
	s.t.Helper()
	someHistory(s)
	intent := s.call(http.StatusCreated, http.MethodPost, "/v1/setup-intents", `{"customer_id":"cus_4"}`).json(s.t)["id"].(string)
	s.call(http.StatusOK, http.MethodPost, "/v1/setup-intents/"+intent+"/confirm", `{"token":"tok_visa"}`)
	card := s.attach("cus_5", "tok_visa")["id"].(string)
	s.call(http.StatusOK, http.MethodPut, "/v1/subscriptions/sub_1", fmt.Sprintf(`{"customer_id":"cus_5","status":"active","default_payment_method_id":%q}`, card))
	s.call(http.StatusOK, http.MethodPost, "/v1/payment-methods/"+card+"/verify", "")
	once(s, http.StatusCreated, "")
	asked = []string{"/v1/setup-intents/" + intent, "/v1/subscriptions/sub_1"}
	for n := range 7 {
		asked = append(asked, fmt.Sprintf("/v1/customers/cus_%d/payment-methods", n), fmt.Sprintf("/v1/customers/cus_%d/default-payment-method", n))
	}
	for _, e := range s.get("/v1/events?limit=100").json(s.t)["data"].([]any) {
		e := e.(map[string]any)
		if at, ok := e["created_at"].(string); ok && e["payment_method_id"] != nil {
			asked = append(asked, fmt.Sprintf("/v1/payment-methods/%s?as_of=%s", e["payment_method_id"], at),
				fmt.Sprintf("/v1/customers/%s/default-payment-method?as_of=%s", e["customer_id"], at))
		}
	}
	return asked
}

// once is an attach with an idempotency key; replayed is what its repeat says.
func once(s *instance, status int, replayed string) string {
	s.t.Helper()
	a := s.call(status, http.MethodPost, "/v1/customers/cus_6/payment-methods", `{"type":"card","token":"tok_discover"}`, "Idempotency-Key", "moved")
	if got := a.header.Get("Idempotency-Replayed"); got != replayed {
		s.t.Errorf("Idempotency-Replayed is %q, want %q", got, replayed)
	}
	return string(a.body)
}

// everything are the answers, with their statuses and ETags.
func everything(s *instance, asked []string) map[string]string {
	s.t.Helper()
	found := answers(s)
	for _, path := range asked {
		a, err := s.try(http.DefaultClient, http.MethodGet, path, "")
		if err != nil {
			s.t.Fatal(err)
		}
		found[path] = fmt.Sprint(a.status, a.header["Etag"], requestID.ReplaceAllString(string(a.body), "req_"))
	}
	return found
}

// requestID is in refusals, another one each time.
var requestID = regexp.MustCompile(`req_[0-9a-f]+`)

func sameAnswers(t *testing.T, got, want map[string]string) {
	t.Helper()
	if len(got) != len(want) || len(got) < 90 {
		t.Errorf("%d answers, want %d", len(got), len(want))
	}
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if got[path] != want[path] {
			t.Errorf("%s answers\n%s\nwant\n%s", path, got[path], want[path])
		}
	}
}

// page is a page of events as ids, and the cursor to the next.
func page(s *instance, path, cursor string) (ids []string, next string) {
	s.t.Helper()
	if cursor != "" {
		path += "&cursor=" + cursor
	}
	list := s.get(path).json(s.t)
	for _, item := range list["data"].([]any) {
		ids = append(ids, item.(map[string]any)["id"].(string))
	}
	next, _ = list["next_cursor"].(string)
	return ids, next
}

// inOrder checks the stream: every event once, numbered without a gap, each naming
// the one before it by the position that it has in the store of the later one.
func inOrder(t *testing.T, messages []published) {
	t.Helper()
	moves, positions := 0, map[string]bool{}
	for i, m := range messages {
		header := func(name string) string { return m.Header[name][0] }
		if header("ce-pmorgseq") != strconv.Itoa(i+1) {
			t.Errorf("message %d has ce-pmorgseq %s", i+1, header("ce-pmorgseq"))
		}
		if i > 0 && header("ce-pmprev") != messages[i-1].Header["ce-pmposition"][0] {
			moves++
		}
		positions[header("ce-id")] = true
	}
	if len(positions) != len(messages) {
		t.Errorf("%d messages of %d events", len(messages), len(positions))
	}
	t.Logf("%d messages, in order, %d seams", len(messages), moves)
}

// TestALedgerMovesToAClusterAndBack goes from a disk to a cluster, where it goes on,
// back onto the disk that it came from, and to a disk of another machine. Clients and
// consumers notice positions only.
func TestALedgerMovesToAClusterAndBack(t *testing.T) {
	s := serve(t, t.TempDir())
	asked := movable(s)
	before, first, events := everything(s, asked), once(s, http.StatusCreated, "true"), events(s)
	_, cursor := page(s, "/v1/events?limit=5", "")
	rest, _ := page(s, "/v1/events?limit=5", cursor)
	position := s.get("/v1/events").header.Get("Ledger-Position")
	s.stream(events)
	s.terminate()
	original := exported(t, s.dir)

	cluster := []string{"--store", kurrenttest.Start(t, kurrenttest.Options{}).ConnectionString(), "--secret-file", filepath.Join(s.dir, "secret")}
	records := uint64(strings.Count(original, "\n"))
	cutOff(t, s.dir, original, cluster)
	if exported(t, s.dir) != original {
		t.Error("the log on the disk is not what it was")
	}
	if done := importInto(t, s.dir, original, cluster...); done.Present == 0 || done.Present+done.Appended != records || done.Records != records {
		t.Errorf("%+v, want %d records", done, records)
	}
	if done := importInto(t, s.dir, original, cluster...); done.Appended != 0 || done.Present != records {
		t.Errorf("again: %+v", done)
	}
	moved := serve(t, s.dir, append(cluster, "--nats-listen", "127.0.0.1:0")...)
	sameAnswers(t, everything(moved, asked), before)
	if again := once(moved, http.StatusCreated, "true"); again != first {
		t.Errorf("the repeat answers %s, want %s", again, first)
	}
	if ids, _ := page(moved, "/v1/events?limit=5", cursor); !slices.Equal(ids, rest) {
		t.Errorf("the cursor from before the move leads to %v, want %v", ids, rest)
	}
	moved.call(http.StatusOK, http.MethodGet, "/v1/events", "", "Ledger-Min-Position", position)
	if !strings.Contains(moved.log(), "the views are rebuilt") {
		t.Errorf("the views were not rebuilt:\n%s", moved.log())
	}
	moved.attach("cus_7", "tok_visa")
	moved.attach("cus_1", "tok_mastercard")
	events += 4
	inOrder(t, moved.stream(events))
	before = everything(moved, asked)
	_, cursor = page(moved, "/v1/events?limit=5", "")
	rest, _ = page(moved, "/v1/events?limit=5", cursor)
	position = moved.get("/v1/events").header.Get("Ledger-Position")
	moved.terminate()

	onCluster := exported(t, s.dir, cluster...)
	if done := importInto(t, s.dir, onCluster); done.Present != records || done.Appended == 0 {
		t.Errorf("back: %+v", done)
	}
	other := t.TempDir()
	copied(t, other, s.dir, "secret", "sandbox", "nats")
	importInto(t, other, onCluster)
	if a, b, c := exported(t, s.dir), exported(t, other), exportedAnywhere(onCluster); a != b || exportedAnywhere(a) != c || !strings.HasPrefix(a, original) {
		t.Error("the logs differ")
	}
	for _, dir := range []string{s.dir, other} {
		back := serve(t, dir, "--wait-timeout", "100ms")
		sameAnswers(t, everything(back, asked), before)
		if ids, _ := page(back, "/v1/events?limit=5", cursor); !slices.Equal(ids, rest) {
			t.Errorf("the cursor from before the move leads to %v, want %v", ids, rest)
		}
		back.call(http.StatusServiceUnavailable, http.MethodGet, "/v1/events", "", "Ledger-Min-Position", position)
		back.attach("cus_8", "tok_visa")
		inOrder(t, back.stream(events+2))
		back.terminate()
	}
}

// cutOff begins an import that damage cuts off, and expects a server to refuse what it
// has left.
func cutOff(t *testing.T, dir, export string, cluster []string) {
	t.Helper()
	broken := strings.Replace(export, `"policy"`, `"police"`, 1)
	if code, _, talk := offline(dir, append([]string{"events", "import", fileOf(t, broken)}, cluster...)...); code != exitFailure || !strings.Contains(talk, "Run the import again") {
		t.Errorf("a broken export ended with %d: %s", code, talk)
	}
	if code, _, talk := offline(dir, append([]string{"serve", "--nats-url", "nats://127.0.0.1:1"}, cluster...)...); code != exitFailure || !strings.Contains(talk, "was cut off") {
		t.Errorf("a server on half a log ended with %d: %s", code, talk)
	}
}

// TestWhatWasNotPublishedBeforeAMoveIsPublishedAfterIt moves a ledger whose NATS has
// been away, so that the stream ends in the middle of what is moved.
func TestWhatWasNotPublishedBeforeAMoveIsPublishedAfterIt(t *testing.T) {
	s := serve(t, t.TempDir())
	someHistory(s)
	published := events(s)
	s.stream(published)
	s.terminate()
	away := serve(t, s.dir, "--nats-url", "nats://127.0.0.1:1")
	for n := range 30 {
		away.attach(fmt.Sprint("away_", n), "tok_visa")
	}
	away.terminate()
	cluster := []string{"--store", kurrenttest.Start(t, kurrenttest.Options{}).ConnectionString(), "--secret-file", filepath.Join(s.dir, "secret")}
	importInto(t, s.dir, exported(t, s.dir), cluster...)
	moved := serve(t, s.dir, append(cluster, "--nats-listen", "127.0.0.1:0")...)
	inOrder(t, moved.stream(published+60))
}
