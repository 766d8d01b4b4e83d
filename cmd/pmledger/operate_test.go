package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/pmledger/pmledger/eventstore"
)

func TestKeysAreMadeWhileTheServerIsStopped(t *testing.T) {
	dir := t.TempDir()
	code, text, talk := offline(dir, "keys", "create", "--organization", "acme", "--scopes", "payment-methods.read,payment-methods.write,history.read", "--name", "shop")
	if code != exitOK || !strings.HasPrefix(text, "pml_test_") {
		t.Fatalf("ended with %d: %s%s", code, text, talk)
	}
	if code, _, talk := offline(dir, "keys", "create", "--organization", "acme", "--scopes", "all", "--live"); code != exitFailure || !strings.Contains(talk, "test organization") {
		t.Errorf("a live key of a test organization: %d %s", code, talk)
	}
	code, list, _ := offline(dir, "keys", "list", "--organization", "acme", "--json")
	var keys []shownKey
	if err := json.Unmarshal([]byte(list), &keys); err != nil || code != exitOK || len(keys) != 1 || *keys[0].Name != "shop" || keys[0].Key != "" {
		t.Fatalf("list ended with %d, %v: %s", code, err, list)
	}

	s := launchPlain(t, dir)
	s.key = strings.TrimSpace(text)
	s.attach("cus_1", "tok_visa")
	s.call(http.StatusForbidden, http.MethodGet, "/v1/api-keys", "")
	s.key = testKey // works in --dev only
	s.call(http.StatusUnauthorized, http.MethodGet, "/v1/payment-methods", "")
	if code := s.terminate(); code != exitOK {
		t.Errorf("SIGTERM ended it with %d", code)
	}

	if code, _, talk := offline(dir, "keys", "revoke", keys[0].ID, "--organization", "acme"); code != exitOK {
		t.Fatalf("revoke ended with %d: %s", code, talk)
	}
	s = launchPlain(t, dir)
	s.key = strings.TrimSpace(text)
	s.call(http.StatusUnauthorized, http.MethodGet, "/v1/payment-methods", "")
}

// launchPlain starts a server without --dev and waits until it is ready.
func launchPlain(t *testing.T, dir string, args ...string) *instance {
	t.Helper()
	s := launch(t, dir, args...)
	select {
	case <-s.ready:
	case <-s.ended:
		t.Fatalf("the server ended at its start:\n%s", s.log())
	}
	s.await("the server is ready", func() bool { return s.status("/readyz") == http.StatusOK })
	return s
}

func TestOutsideDevNATSAsksForThePassword(t *testing.T) {
	s := launchPlain(t, t.TempDir())
	if conn, err := nats.Connect(s.nats); err == nil {
		conn.Close()
		t.Error("a client without a password was let in")
	}
	password, err := os.ReadFile(filepath.Join(s.dir, "nats-password"))
	if err != nil || openToOthers(filepath.Join(s.dir, "nats-password")) {
		t.Fatalf("the password's file: %v, open to others: %v", err, openToOthers(filepath.Join(s.dir, "nats-password")))
	}
	s.connect(nats.UserInfo(natsUser, strings.TrimSpace(string(password))))
}

func TestHeadersBeyondTheLimitGetAProblem(t *testing.T) {
	s := serve(t, t.TempDir())
	for _, size := range []int{maxHeaderBytes + 8<<10, 100 << 10, 1 << 20} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.http, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		go func() { // the server answers before it has read all of it
			_, _ = fmt.Fprintf(conn, "GET /v1/events HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", size))
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		var problem map[string]any
		err = json.NewDecoder(resp.Body).Decode(&problem)
		if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge || problem["code"] != "headers.too_large" || problem["errors"] == nil ||
			resp.Header.Get("Content-Type") != "application/problem+json" || problem["request_id"] != resp.Header.Get("X-Request-Id") {
			t.Errorf("%d bytes: %d %v %v, %v", size, resp.StatusCode, resp.Header, problem, err)
		}
		conn.Close()
	}
}

func TestWhatIsNotHTTPGetsAProblem(t *testing.T) {
	s := serve(t, t.TempDir())
	for _, request := range []string{
		"GET /v1/%zz HTTP/1.1\r\nHost: x\r\n\r\n", "GET /v1/events HTTP/1.1\r\n\r\n", "GET /v1/events HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n", "what?\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.http, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%q: %v", request, err)
		}
		var problem map[string]any
		err = json.NewDecoder(resp.Body).Decode(&problem)
		if faults, ok := problem["errors"].([]any); err != nil || resp.StatusCode != http.StatusBadRequest || problem["code"] != "body.malformed" || !ok || len(faults) != 0 ||
			resp.Header.Get("Content-Type") != "application/problem+json" || problem["request_id"] != resp.Header.Get("X-Request-Id") {
			t.Errorf("%q: %d %v %v, %v", request, resp.StatusCode, resp.Header, problem, err)
		}
	}
}

// The time of events is that of the test clock, whoever makes them.
func TestAKeyIsMadeAtTheTimeOfTheTestClock(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	s.call(http.StatusOK, http.MethodPost, "/v1/test-clock", `{"now":"2046-01-01T00:00:00Z"}`)
	s.terminate()
	code, text, talk := offline(dir, "keys", "create", "--organization", "demo", "--scopes", "history.read", "--json")
	if code != exitOK || !strings.Contains(text, `"created_at": "2046-01-01T00:00:00Z"`) || !strings.Contains(text, `"name": null`) {
		t.Errorf("ended with %d: %s%s", code, text, talk)
	}
}

func TestMetricsSayHowFarEverythingIs(t *testing.T) {
	s := serve(t, t.TempDir())
	s.attach("cus_1", "tok_visa")
	s.stream(2)
	var text string
	s.await("the lag is 0", func() bool {
		text = fetch(t, s.admin)
		return strings.Contains(text, "\npmledger_publisher_lag_events 0\n") && strings.Contains(text, `pmledger_projection_lag{projection="customers"} 0`)
	})
	for _, want := range []string{
		"pmledger_build_info{", `pmledger_projection_halted{projection="customers"} 0`, `pmledger_projection_position{projection="organizations"} 4`,
		"pmledger_publisher_sequence 2\n", "pmledger_publisher_halted 0\n", "pmledger_log_head_position 4\n", "pmledger_storage_full 0\n",
		"pmledger_http_requests_total{", "go_goroutines ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, "demo") {
		t.Error("an organization is named")
	}
	if !strings.Contains(fetch(t, s.http+"/metrics"), "pmledger_build_info{") {
		t.Error("--dev serves /metrics on --http, too")
	}
	if !strings.Contains(fetch(t, strings.TrimSuffix(s.admin, "/metrics")+"/debug/pprof/goroutine?debug=1"), "goroutine profile") {
		t.Error("no profile on --admin")
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTailPrintsWhatIsPublished(t *testing.T) {
	s := serve(t, t.TempDir())
	s.attach("cus_1", "tok_visa")
	tail := exec.Command(binary, "events", "tail", "--from-start", "--data", s.dir, "--nats-listen", strings.TrimPrefix(s.nats, "nats://"))
	out, err := tail.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, want := range []string{"customer.payment_method_attached", "customer.default_payment_method_changed"} {
		if !lines.Scan() || !json.Valid(lines.Bytes()) || !strings.Contains(lines.Text(), want) {
			t.Fatalf("got %q, %v, want an event %s", lines.Text(), lines.Err(), want)
		}
	}
	s.attach("cus_2", "tok_visa")
	if !lines.Scan() || !strings.Contains(lines.Text(), "cus_2") {
		t.Errorf("got %q, want the event of cus_2", lines.Text())
	}
	if err := tail.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := tail.Wait(); err != nil {
		t.Errorf("SIGINT ended it with %v", err)
	}
}

func TestAnAuditorWorksOnTheStoppedLedger(t *testing.T) {
	s := serve(t, t.TempDir())
	someHistory(s)
	s.terminate()

	code, text, _ := offline(s.dir, "history", "verify", "--json")
	var found verified
	if err := json.Unmarshal([]byte(text), &found); err != nil || code != exitOK || !found.OK || found.Records == 0 {
		t.Fatalf("verify ended with %d, %v: %s", code, err, text)
	}
	code, text, _ = offline(s.dir, "events", "export")
	if code != exitOK || uint64(strings.Count(text, "\n")) != found.Records {
		t.Fatalf("export ended with %d and %d lines, want %d", code, strings.Count(text, "\n"), found.Records)
	}
	checkChain(t, text)
	if code, text, talk := offline(s.dir, "rebuild", "--json"); code != exitOK {
		t.Errorf("rebuild ended with %d: %s%s", code, text, talk)
	}
	code, text, talk := offline(s.dir, "doctor", "--json", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	var findings []finding
	if err := json.Unmarshal([]byte(text), &findings); err != nil || code != exitOK {
		t.Errorf("doctor ended with %d, %v: %s%s", code, err, text, talk)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "secret"), make([]byte, secretSize), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, text, _ := offline(s.dir, "doctor"); code != exitFailure || !strings.Contains(text, "another secret") {
		t.Errorf("with another secret, doctor ended with %d: %s", code, text)
	}
}

// checkChain computes the hashes of exported records from their lines alone.
func checkChain(t *testing.T, lines string) {
	t.Helper()
	tails := map[string]string{}
	for line := range strings.Lines(lines) {
		var r struct {
			Position       eventstore.Position
			Stream, ID     string
			Version        uint64
			Type           string
			Data, Metadata json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		meta, err := eventstore.DecodeMetadata(r.Metadata)
		if err != nil {
			t.Fatal(err)
		}
		prev, ok := tails[r.Stream]
		if !ok {
			prev = eventstore.NoPrev
		}
		if meta.Prev != prev {
			t.Errorf("position %d: prev is %s, want %s", r.Position, meta.Prev, prev)
		}
		tails[r.Stream] = eventstore.LeafHash(r.Stream, r.Version, parseUUID(t, r.ID), r.Type, r.Metadata, r.Data)
	}
	if len(tails) < 3 {
		t.Errorf("only %d streams", len(tails))
	}
}

func TestAnExternalNATSMayBeAway(t *testing.T) {
	options := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}
	external := runNATS(t, options)
	url := external.ClientURL()
	options.Port = external.Addr().(*net.TCPAddr).Port
	s := serve(t, t.TempDir(), "--nats-url", url)
	s.attach("cus_1", "tok_visa")
	s.nats = url
	s.stream(2)

	external.Shutdown()
	external.WaitForShutdown()
	began := time.Now()
	for n := range 20 {
		s.attach(fmt.Sprintf("away_%d", n), "tok_visa")
	}
	if took := time.Since(began); took > patience/3 {
		t.Errorf("20 attaches took %s while NATS was away", took)
	}
	if s.status("/readyz") != http.StatusOK {
		t.Error("the server is unready because NATS is away")
	}
	runNATS(t, options)
	all := s.stream(42)
	for i, m := range all {
		if got := m.Header["ce-pmorgseq"]; len(got) != 1 || got[0] != fmt.Sprint(i+1) {
			t.Errorf("message %d has ce-pmorgseq %v", i+1, got)
		}
	}
}

func runNATS(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	copied := *o
	s, err := server.NewServer(&copied)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		t.Fatal("the NATS server of the test does not start")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

func parseUUID(t *testing.T, s string) uuid.UUID {
	t.Helper()
	id, err := uuid.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
