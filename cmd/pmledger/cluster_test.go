package main

import (
	"bytes"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/kurrent"
	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
)

// TestTheStoresPasswordIsNotPrinted gives a password in every way and in strings
// that are wrong in every way.
func TestTheStoresPasswordIsNotPrinted(t *testing.T) {
	const password = "hunter2hunter2"
	for _, store := range []string{
		"esdb://me:" + password + "@db.example:2113", "esdb+discover://me:" + password + "@a:2113,b:2113?tls=true",
		"esdb://me:" + password + "@db.example:nonsense", "esdb://me:" + password + "@db.example?tls=perhaps", "esdb://me:" + password,
		"kurrentdb://me:" + password + "@db.example:2113", "postgres://me:" + password + "@db", "esdb://me:" + password + "@db.example?tls=false",
	} {
		calls := [][]string{{"config"}, {"config", "--json"}, {"serve"}, {"keys", "list", "--organization", "demo"}}
		if kurrent.Check(store) != nil {
			calls = append(calls, []string{"doctor"}) // otherwise it looks for the host
		}
		for _, by := range []string{"flag", "env"} {
			for _, args := range calls {
				var out, talk bytes.Buffer
				p := program{stdout: &out, stderr: &talk, environ: func() []string {
					if by == "env" {
						return []string{"PMLEDGER_STORE=" + store}
					}
					return nil
				}}
				args = append(args, "--secret-file", "no-such-file", "--data", t.TempDir())
				if by == "flag" {
					args = append(args, "--store", store)
				}
				p.run(args)
				if printed := out.String() + talk.String(); strings.Contains(printed, password) {
					t.Errorf("%v with the store by %s:\n%s", args, by, printed)
				}
			}
		}
	}
}

// TestServersThatStartAtOnceBeginOneLedger starts them on an empty store.
func TestServersThatStartAtOnceBeginOneLedger(t *testing.T) {
	r := newReplicas(t, 3)
	all := r.startAll()
	n := 0
	for _, err := range r.open().Stream(t.Context(), domain.LedgerStream, 1) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d identity records", n)
	}
	for i, s := range all {
		s.attach("cus_1", fmt.Sprint("tok_visa_fp_", i))
	}
}

// TestAKeyRevokedOnOneServerStopsWorkingOnAnother also makes a key on one and uses
// it on another at once.
func TestAKeyRevokedOnOneServerStopsWorkingOnAnother(t *testing.T) {
	r := newReplicas(t, 2)
	all := r.startAll()
	key := all[0].call(http.StatusCreated, http.MethodPost, "/v1/api-keys", `{"scopes":["payment-methods.read"]}`).json(t)
	other := all[1]
	other.key = key["key"].(string)
	other.get("/v1/payment-methods")
	all[0].call(http.StatusOK, http.MethodDelete, "/v1/api-keys/"+key["id"].(string), "")
	began := time.Now()
	other.await("the key is revoked there too", func() bool {
		a, err := other.try(http.DefaultClient, http.MethodGet, "/v1/payment-methods", "")
		return err == nil && a.status == http.StatusUnauthorized
	})
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s, more than --max-lag", took)
	} else {
		t.Logf("it took %s", took.Round(100*time.Microsecond))
	}

	// Commands of the program work beside the servers.
	args := append([]string{"keys", "create", "--organization", "acme", "--scopes", "all"}, r.args...)
	code, text, talk := offline(r.dirs[0], args...)
	if code != exitOK {
		t.Fatalf("keys create ended with %d: %s", code, talk)
	}
	other.key = strings.TrimSpace(text)
	other.get("/v1/payment-methods")
}

// TestACardTakenByOneServersSandboxIsKnownToAnothers goes to two servers with what
// one gateway would know.
func TestACardTakenByOneServersSandboxIsKnownToAnothers(t *testing.T) {
	r := newReplicas(t, 2)
	r.args = append(r.args, "--raw-cards")
	all := r.startAll()
	a := all[0].call(http.StatusCreated, http.MethodPost, "/v1/customers/cus_1/payment-methods/raw-card", `{"number":"4242424242424242","expiration_date":"12/34"}`)
	verified := all[1].call(http.StatusOK, http.MethodPost, a.header.Get("Location")+"/verify", "")
	if verified.json(t)["verified"] != true {
		t.Errorf("%s", verified.body)
	}
}

func TestOperatorsCommandsWorkOnAClusterWhileServersRun(t *testing.T) {
	r := newReplicas(t, 1)
	s := r.start(0)
	s.attach("cus_1", "tok_visa")
	run := func(want int, says string, args ...string) {
		t.Helper()
		code, text, talk := offline(t.TempDir(), append(args, r.args...)...)
		if code != want || !strings.Contains(text+talk, says) {
			t.Errorf("%v ended with %d, want %d and %q: %s%s", args, code, want, says, text, talk)
		}
	}
	run(exitOK, "are in order", "history", "verify")
	run(exitOK, `"type":"payment_method.attached"`, "events", "export")
	run(exitOK, "ID", "keys", "list", "--organization", "demo")
	run(exitOK, "the leader 127.0.0.1:", "doctor", "--http", "127.0.0.1:0", "--admin", "")
	run(exitOK, "rebuilt the views", "rebuild")
	if code, _, talk := offline(r.dirs[0], append([]string{"rebuild"}, r.args...)...); code != exitFailure || !strings.Contains(talk, "A running server has the views") {
		t.Errorf("rebuild of a running server's views ended with %d: %s", code, talk)
	}
	second := launch(t, r.dirs[0], append([]string{"--dev"}, r.args...)...)
	if code := second.exitCode(); code != exitFailure || !strings.Contains(second.log(), "name another folder with --data") {
		t.Errorf("a second server on the folder ended with %d: %s", code, second.log())
	}
	s.get("/v1/payment-methods")
	s.terminate()
	if code, text, talk := offline(r.dirs[0], append([]string{"rebuild"}, r.args...)...); code != exitOK {
		t.Errorf("rebuild ended with %d: %s%s", code, text, talk)
	}
	s = r.start(0)
	s.get("/v1/payment-methods")
}

// TestAStoreThatIsNotTheOneBeforeIsRefused is about a server's views: of a ledger
// that is gone, of another one, and of a later state of this one.
func TestAStoreThatIsNotTheOneBeforeIsRefused(t *testing.T) {
	r := newReplicas(t, 1)
	s := r.start(0)
	s.attach("cus_1", "tok_visa")
	s.attach("cus_1", "tok_amex")
	s.terminate()
	refused := func(says string, change ...string) {
		t.Helper()
		s := launch(t, r.dirs[0], append(append([]string{"--dev"}, r.args...), change...)...)
		if code := s.exitCode(); code != exitFailure || !strings.Contains(s.log(), says) {
			t.Errorf("it ended with %d, want %q:\n%s", code, says, s.log())
		}
	}
	refused("missing", "--secret-file", filepath.Join(t.TempDir(), "none"))
	refused("another secret", "--secret-file", newSecretFile(t))

	empty := kurrenttest.Start(t, kurrenttest.Options{})
	refused("holds no ledger", "--store", empty.ConnectionString())
	if done, _ := empty.Appends(); done != 0 {
		t.Errorf("%d appends to the empty store", done)
	}

	other := newReplicas(t, 1)
	other.start(0).terminate()
	refused("they were made from the log", "--store", other.store.ConnectionString(), "--secret-file", other.args[3])

	older := kurrenttest.Start(t, kurrenttest.Options{})
	restore(t, r.open(), older.ConnectionString(), 2)
	refused(filepath.Join(r.dirs[0], "views"), "--store", older.ConnectionString())
}

// restore copies the first records of a store to another.
func restore(t *testing.T, from *kurrent.Store, to string, n int) {
	t.Helper()
	target, err := kurrent.Open(t.Context(), to, kurrent.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	for batch, err := range from.Follow(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range batch {
			if n--; n < 0 {
				return
			}
			record := eventstore.NewRecord{ID: r.ID, Type: r.Type, Data: r.Data, Metadata: r.Metadata}
			if _, err := target.Append(t.Context(), r.Stream, r.Version-1, []eventstore.NewRecord{record}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestAStoreThatAsksForAPasswordIsServed gives it in the environment, where other
// users of the machine do not see it, and looks for it in all that is said.
func TestAStoreThatAsksForAPasswordIsServed(t *testing.T) {
	const right = "hunter2hunter2"
	store := kurrenttest.Start(t, kurrenttest.Options{TLS: true, Users: map[string]string{"ledger": right}})
	secret, dir := newSecretFile(t), t.TempDir()
	t.Setenv("PMLEDGER_STORE", store.ConnectionString())
	s := serve(t, dir, "--secret-file", secret, "--log-level", "debug")
	s.attach("cus_1", "tok_visa")
	said := ""
	run := func(want int, says, password string, args ...string) {
		t.Helper()
		at := strings.Replace(store.ConnectionString(), right, password, 1)
		code, text, talk := offline(t.TempDir(), append(args, "--store", at, "--secret-file", secret)...)
		if code != want || !strings.Contains(text+talk, says) {
			t.Errorf("%v ended with %d, want %d and %q: %s%s", args, code, want, says, text, talk)
		}
		said += text + talk
	}
	run(exitOK, "127.0.0.1:", right, "config")
	run(exitOK, "the leader 127.0.0.1:", right, "doctor", "--http", "127.0.0.1:0", "--admin", "")
	run(exitOK, "are in order", right, "history", "verify")
	run(exitFailure, "check user and password", right+"x", "doctor")
	store.Stop()
	s.await("it is not ready", func() bool { return s.status("/readyz") == http.StatusServiceUnavailable })
	not, err := s.try(http.DefaultClient, http.MethodGet, "/readyz", "")
	if err != nil {
		t.Fatal(err)
	}
	s.kill()
	if said += s.log() + string(not.body); strings.Contains(said, right) {
		t.Errorf("the password was told:\n%s", said)
	}
}
