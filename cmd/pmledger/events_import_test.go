package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/api"
	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
	"github.com/pmledger/pmledger/eventstore/torture"
)

// aLedger is the export of a ledger with as many customers, who have a card each, in
// two records; and a new data folder with its secret.
func aLedger(t *testing.T, customers int) (export, dir string) {
	t.Helper()
	dir = t.TempDir()
	secret := make([]byte, secretSize)
	rand.Read(secret)
	if err := os.WriteFile(filepath.Join(dir, "secret"), secret, 0o600); err != nil {
		t.Fatal(err)
	}
	store := memory.New()
	if _, err := eventstore.Identify(t.Context(), store, api.Fingerprint(secret), uuid.New(), time.Now()); err != nil {
		t.Fatal(err)
	}
	ledger := eventstore.NewLedger(store, eventstore.LedgerOptions{Now: time.Now, NewID: uuid.New})
	for n := range customers {
		_, err := ledger.Execute(t.Context(), eventstore.Request{
			Stream: domain.CustomerStream("acme", fmt.Sprint("cus_", n), ""), Actor: "tester",
			Prepare: func(context.Context) (domain.Command, error) {
				return domain.AttachMethod{
					MethodID: domain.NewMethodID(uuid.New()), Type: domain.TypeCard, Provider: "sandbox", ProviderID: fmt.Sprint("tok_", n),
					Facts: domain.Facts{
						Type: domain.TypeCard, Method: "card", Fingerprint: fmt.Sprint("fp_", n),
						Card: &domain.Card{Brand: "visa", Last4: "4242", ExpMonth: 12, ExpYear: 2034},
					},
					FactsFrom: "gateway",
					Policy:    domain.Policy{Settings: domain.DefaultSettings(), Location: time.UTC, MaxMethods: 1000},
				}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return exportOf(t, store), dir
}

func exportOf(t *testing.T, store eventstore.Store) string {
	t.Helper()
	head, err := store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	follows := eventstore.NoPrev
	for batch, err := range store.Follow(t.Context(), 0) {
		for _, r := range batch {
			if err == nil {
				b, err = eventstore.Exported{Record: r, Follows: follows}.Append(b)
			}
			follows = r.LeafHash()
		}
		if err != nil {
			t.Fatal(err)
		}
		if batch[len(batch)-1].Position == head {
			break
		}
	}
	return string(b)
}

// TestTortureAnImportIsKilled kills an import with SIGKILL while it appends. A server
// refuses what it leaves behind, and the same import again completes it.
func TestTortureAnImportIsKilled(t *testing.T) {
	kills := torture.Size(4, 10, 40)
	methods := 1250 * kills // so that an import begins to append before it is killed
	export, dir := aLedger(t, methods)
	begun, cut := 0, map[int]bool{}
	for kill := range kills {
		cmd := exec.Command(binary, "events", "import", "--data", dir, "--min-free", "1MiB")
		in, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		// Never all of it, so that it cannot have ended before the kill.
		part := len(export) / (kills + 1) * (kill + 1)
		_, _ = io.WriteString(in, export[:part]) // it may be killed by itself, which is seen below
		for deadline := time.Now().Add(patience); !exists(filepath.Join(dir, "log.importing")); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the import has not begun to append")
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		_ = in.Close()
		if code, _, talk := offline(dir, "serve", "--http", "127.0.0.1:0"); code != exitFailure || !strings.Contains(talk, "an import has begun to make this log and was cut off") {
			t.Fatalf("serve ended with %d: %s", code, talk)
		}
		begun++
		cut[part] = true
	}
	done := importInto(t, dir, export)
	if done.Present == 0 || done.Appended == 0 || done.Records != uint64(2*methods+1) {
		t.Errorf("%+v", done)
	}
	if exported(t, dir) != export {
		t.Error("the log is not the one that was exported")
	}
	torture.Add(t, torture.Report{Campaign: "kill -9 of an import", Counts: []torture.Figure{
		torture.Count(begun, "kills"), torture.Count(done.Records, "records"), torture.Count(done.Present, "there before the last import"),
	}})
}

// TestAnImportThatIsRefusedLeavesNothingBehind has what can be told at once, and
// damage that is met later.
func TestAnImportThatIsRefusedLeavesNothingBehind(t *testing.T) {
	export, dir := aLedger(t, 4)
	lines := strings.SplitAfter(export, "\n")
	refused := func(dir, says, export string, args ...string) {
		t.Helper()
		code, text, talk := offline(dir, append([]string{"events", "import", fileOf(t, export)}, args...)...)
		if code != exitFailure || text != "" || !strings.Contains(talk, says) {
			t.Errorf("it ended with %d, want %q: %s%s", code, says, text, talk)
		}
		for _, left := range []string{"log", "log.importing", "views"} {
			if exists(filepath.Join(dir, left)) {
				t.Errorf("%q leaves %s", says, left)
			}
		}
	}
	refused(dir, "the export is empty", "")
	refused(dir, "line 1: it is not a record of an export", "x\n")
	refused(dir, "line 9 (version 2 of stream customer-acme+cus_3)", strings.Join(lines[:8], "")+strings.Replace(lines[8], `,"data":`, `, "data":`, 1))
	refused(dir, "line 5: it has no end: the export was cut off", strings.Join(lines[:4], "")+lines[4][:100])
	refused(dir, "line 5", strings.Join(lines[:4], "")+strings.Join(lines[5:], ""))
	refused(dir, "that one was changed", strings.Replace(export, `"last4":"4242"`, `"last4":"4243"`, 1))
	refused(dir, "the export does not begin with the first record", strings.Join(lines[4:], ""))
	refused(t.TempDir(), "the secret ", export)
	_, other := aLedger(t, 1)
	refused(dir, "another secret", export, "--secret-file", filepath.Join(other, "secret"))
	if code, _, talk := offline(dir, "events", "import", filepath.Join(dir, "nowhere")); code != exitFailure || !strings.Contains(talk, "cannot be opened") {
		t.Errorf("it ended with %d: %s", code, talk)
	}
	if code, _, talk := offline(dir, "events", "import", "a", "b"); code != exitUsage {
		t.Errorf("it ended with %d: %s", code, talk)
	}
}

func TestAnImportRefusesALogOfItsOwn(t *testing.T) {
	export, dir := aLedger(t, 3)
	importInto(t, dir, export)
	other, otherDir := aLedger(t, 3)
	copied(t, dir, otherDir, "secret") // as if two ledgers had one secret
	if code, _, talk := offline(dir, "events", "import", fileOf(t, other)); code != exitFailure || !strings.Contains(talk, "the store holds the log") {
		t.Errorf("it ended with %d: %s", code, talk)
	}
}

// A part of an export adds to what an earlier one has brought.
func TestAnExportGoesOnAfterAPosition(t *testing.T) {
	export, dir := aLedger(t, 20)
	importInto(t, dir, export)
	other := t.TempDir()
	copied(t, other, dir, "secret")
	all := strings.SplitAfter(export, "\n")
	for _, at := range []string{"0", "1", "17", "40", "41"} {
		var n int
		_, _ = fmt.Sscan(at, &n)
		if got := exported(t, dir, "--after", at); got != strings.Join(all[n:], "") {
			t.Errorf("--after %s gives\n%s", at, got)
		}
	}
	importInto(t, other, strings.Join(all[:17], ""))
	if done := importInto(t, other, exported(t, dir, "--after", "17")); done.Appended != 24 || done.Present != 0 {
		t.Errorf("%+v", done)
	}
	if done := importInto(t, other, exported(t, dir, "--after", "41")); done.Appended != 0 || done.Records != 0 {
		t.Errorf("%+v", done)
	}
	if exported(t, other) != export {
		t.Error("the logs differ")
	}
	if code, _, talk := offline(dir, "events", "export", "--after", "42"); code != exitFailure || !strings.Contains(talk, "ahead of the log's head") {
		t.Errorf("it ended with %d: %s", code, talk)
	}
}

// TestAPipeMovesALedger is the command that the help of events import shows.
func TestAPipeMovesALedger(t *testing.T) {
	export, dir := aLedger(t, 50)
	importInto(t, dir, export)
	other := t.TempDir()
	from := exec.Command(binary, "events", "export", "--data", dir, "--min-free", "1MiB")
	to := exec.Command(binary, "events", "import", "--data", other, "--secret-file", filepath.Join(dir, "secret"), "--min-free", "1MiB")
	pipe, err := from.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	to.Stdin = pipe
	if err := from.Start(); err != nil {
		t.Fatal(err)
	}
	text, err := to.CombinedOutput()
	if err != nil || !strings.Contains(string(text), "imported 101 records, up to position 101 of the export: 101 appended, 0 there before") {
		t.Errorf("%v: %s", err, text)
	}
	if err := from.Wait(); err != nil {
		t.Error(err)
	}
	if exported(t, other, "--secret-file", filepath.Join(dir, "secret")) != export {
		t.Error("the logs differ")
	}
}
