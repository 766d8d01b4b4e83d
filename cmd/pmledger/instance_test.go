package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pmledger/pmledger/projections/publisher"
)

// testKey is the demo organization's key in the tests.
const testKey = "pml_test_end_to_end_0123456789_0123456789"

// patience bounds the waiting for a condition on a busy machine.
const patience = 30 * time.Second

// binary is the path of the program under test: PMLEDGER_BINARY, or one that is
// built for the tests.
var binary string

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	if binary = os.Getenv("PMLEDGER_BINARY"); binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "pmledger-test-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "pmledger")
	build := append([]string{"build", "-buildvcs=false", "-o", binary}, buildFlags()...)
	if out, err := exec.Command("go", append(build, ".")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the program under test: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// buildFlags are those of the tests: with planted bugs, or under the race detector,
// the program is too.
func buildFlags() (flags []string) {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-tags" || s.Key == "-race" {
				flags = append(flags, s.Key+"="+s.Value)
			}
		}
	}
	return flags
}

// instance is a running `pmledger serve`.
type instance struct {
	t     *testing.T
	cmd   *exec.Cmd
	dir   string
	key   string
	http  string
	nats  string
	admin string

	mu     sync.Mutex
	stderr bytes.Buffer
	ready  chan struct{} // closed when the greeting has been read
	ended  chan struct{} // closed when the process has ended
}

// serve starts a server on a data folder with free ports and waits until /readyz
// answers 200.
func serve(t *testing.T, dir string, args ...string) *instance {
	t.Helper()
	s := launch(t, dir, append([]string{"--dev"}, args...)...)
	select {
	case <-s.ready:
	case <-s.ended:
		t.Fatalf("the server ended at its start:\n%s", s.log())
	case <-time.After(patience):
		t.Fatalf("no greeting after %s:\n%s", patience, s.log())
	}
	s.await("the server is ready", func() bool { return s.status("/readyz") == http.StatusOK })
	return s
}

// launch starts a server without waiting for anything.
func launch(t *testing.T, dir string, args ...string) *instance {
	t.Helper()
	args = append([]string{"serve", "--data", dir, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--min-free", "1MiB"}, args...)
	if !strings.Contains(strings.Join(args, " "), "--nats-") {
		args = append(args, "--nats-listen", "127.0.0.1:0")
	}
	return spawn(t, dir, exec.Command(binary, args...))
}

// spawn starts the process of a server that keeps its data in dir.
func spawn(t *testing.T, dir string, cmd *exec.Cmd) *instance {
	t.Helper()
	s := &instance{t: t, dir: dir, key: testKey, ready: make(chan struct{}), ended: make(chan struct{}), cmd: cmd}
	s.cmd.Env = append(os.Environ(), "PMLEDGER_DEV_KEY="+testKey)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go s.read(stderr)
	t.Cleanup(func() {
		s.kill()
		if strings.Contains(s.log(), "WARNING: DATA RACE") {
			t.Error("the server has a data race")
		}
		if t.Failed() {
			t.Logf("what the server said:\n%s", s.log())
		}
	})
	return s
}

// read keeps what the server says and finds the addresses in it: in the greeting
// of --dev, or in the log line "ready".
func (s *instance) read(stderr io.Reader) {
	greeting := regexp.MustCompile(`^ +(HTTP|NATS|Admin) +(\S+)`)
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s.mu.Lock()
		fmt.Fprintln(&s.stderr, lines.Text())
		s.mu.Unlock()
		if m := greeting.FindStringSubmatch(lines.Text()); m != nil {
			map[string]func(string){
				"HTTP": func(v string) { s.http = v }, "NATS": func(v string) { s.nats = v }, "Admin": func(v string) { s.admin = v },
			}[m[1]](m[2])
		}
		var line struct{ Msg, HTTP, NATS, Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
			s.http, s.nats, s.admin = line.HTTP, line.NATS, line.Admin+"/metrics"
			close(s.ready)
		}
		if strings.HasPrefix(lines.Text(), "Attach a card") {
			close(s.ready)
		}
	}
	_ = s.cmd.Wait() // the exit code is asked for where it matters
	close(s.ended)
}

func (s *instance) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.String()
}

// kill ends the server as a power cut would end the process: SIGKILL.
func (s *instance) kill() {
	_ = s.cmd.Process.Kill() // it may have ended already
	<-s.ended
}

// terminate asks the server to stop and returns its exit code.
func (s *instance) terminate() int {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	return s.exitCode()
}

func (s *instance) exitCode() int {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.t.Fatalf("the server still runs after %s", patience)
	}
	return s.cmd.ProcessState.ExitCode()
}

// await returns when the condition holds.
func (s *instance) await(what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}

func (s *instance) status(path string) int {
	resp, err := http.Get(s.http + path)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// answer is an HTTP answer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("not a JSON object: %v: %s", err, a.body)
	}
	return v
}

// try makes a request; header lines are name, value pairs.
func (s *instance) try(client *http.Client, method, path, body string, header ...string) (answer, error) {
	return s.tryFor(context.Background(), client, method, path, body, header...)
}

// tryFor is try for as long as the client stays.
func (s *instance) tryFor(ctx context.Context, client *http.Client, method, path, body string, header ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.http+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, text}, err
}

// call makes a request that must answer with the given status.
func (s *instance) call(want int, method, path, body string, header ...string) answer {
	s.t.Helper()
	a, err := s.try(http.DefaultClient, method, path, body, header...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	if a.status != want {
		s.t.Fatalf("%s %s: %d, want %d: %s", method, path, a.status, want, a.body)
	}
	return a
}

func (s *instance) get(path string) answer {
	s.t.Helper()
	return s.call(http.StatusOK, http.MethodGet, path, "")
}

// attach attaches a token to a customer and returns the method.
func (s *instance) attach(customer, token string) map[string]any {
	s.t.Helper()
	kind := "card"
	switch prefix, _, _ := strings.Cut(token, "_"); prefix {
	case "ba":
		kind = "bank_account"
	case "sepa":
		kind = "direct_debit"
	case "paypal":
		kind = "paypal"
	}
	a := s.call(http.StatusCreated, http.MethodPost, "/v1/customers/"+customer+"/payment-methods",
		fmt.Sprintf(`{"type":%q,"token":%q,"metadata":{"plan":"gold"}}`, kind, token))
	return a.json(s.t)
}

// connect is an ordinary NATS client of the server.
func (s *instance) connect(options ...nats.Option) *nats.Conn {
	s.t.Helper()
	conn, err := nats.Connect(s.nats, options...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(conn.Close)
	return conn
}

// published is a message of the stream, without what NATS itself adds to it.
type published struct {
	Subject string
	Header  map[string][]string
	Body    string
}

func plain(subject string, header nats.Header, body []byte) published {
	kept := map[string][]string{}
	for name, values := range header {
		if !strings.HasPrefix(name, "Nats-") || name == "Nats-Msg-Id" {
			kept[name] = values
		}
	}
	return published{subject, kept, string(body)}
}

// stream reads the whole stream from its start, once it holds as many messages as
// GET /v1/events says there are.
func (s *instance) stream(want int) []published {
	s.t.Helper()
	js, err := jetstream.New(s.connect())
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*patience)
	defer cancel()
	consumer, err := js.OrderedConsumer(ctx, publisher.StreamName, jetstream.OrderedConsumerConfig{})
	if err != nil {
		s.t.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		s.t.Fatal(err)
	}
	defer messages.Stop()
	var all []published
	for len(all) < want {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if errors.Is(err, context.DeadlineExceeded) {
			s.t.Fatalf("the stream has %d messages, want %d", len(all), want)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, plain(m.Subject(), m.Headers(), m.Data()))
	}
	info, err := js.Stream(ctx, publisher.StreamName)
	if err != nil {
		s.t.Fatal(err)
	}
	if got := info.CachedInfo().State.Msgs; got != uint64(want) {
		s.t.Errorf("the stream has %d messages, want %d", got, want)
	}
	return all
}

// offline runs a command of the program and returns its exit code and output.
func offline(dir string, args ...string) (code int, stdout, stderr string) {
	var out, talk bytes.Buffer
	p := program{stdout: &out, stderr: &talk, environ: func() []string { return nil }}
	code = p.run(append(args, "--data", dir, "--min-free", "1MiB"))
	return code, out.String(), talk.String()
}
