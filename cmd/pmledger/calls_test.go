package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pmledger/pmledger/projections/publisher"
)

func TestHelpIsThereForEveryCommand(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"help", "keys"}, {"help", "keys", "create"}, {"help", "help"}, {"help", "completion", "bash"}} {
		var out, talk bytes.Buffer
		p := program{stdout: &out, stderr: &talk, environ: func() []string { return nil }}
		if code := p.run(args); code != exitOK || !strings.Contains(out.String(), "Usage:") {
			t.Errorf("%v: %d %s%s", args, code, &out, &talk)
		}
	}
}

func TestAccountsAreATextInJSON(t *testing.T) {
	code, text, talk := offline(t.TempDir(), "nats", "accounts", "--json")
	var shown shownAccounts
	if err := json.Unmarshal([]byte(text), &shown); err != nil || code != exitOK || shown.Accounts != publisher.AccountsConfig() {
		t.Errorf("%d, %v: %s%s", code, err, text, talk)
	}
}

func TestTheNameOfAKeyIsCountedInCharactersAndIsText(t *testing.T) {
	dir := t.TempDir()
	for name, ok := range map[string]bool{
		"Кассовый узел – 中文 – 🛒": true, strings.Repeat("ü", 255): true, strings.Repeat("ü", 256): false, strings.Repeat("x", 256): false,
		"\xff": false, "a\x1b[2Jb": false, "a\nb": false, "\u009b2J": false, "\x7f": false,
	} {
		code, _, talk := offline(dir, "keys", "create", "--organization", "acme", "--scopes", "all", "--name", name)
		if want := map[bool]int{true: exitOK, false: exitUsage}[ok]; code != want || !ok && !strings.Contains(talk, "--name: 255 characters") {
			t.Errorf("%q: %d %s", name, code, talk)
		}
	}
	if got := printable("a\x1b[2J\tü🛒\u202e"); got != "a\ufffd[2J\ufffdü🛒\ufffd" {
		t.Errorf("printed as %q", got)
	}
}

// full takes some bytes and then has no room.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	n := min(len(p), f.room)
	f.room -= n
	if n < len(p) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

func TestAnExportSaysHowManyRecordsWereWritten(t *testing.T) {
	dir := t.TempDir()
	if code, _, talk := offline(dir, "keys", "create", "--organization", "acme", "--scopes", "all"); code != exitOK {
		t.Fatal(talk)
	}
	_, text, _ := offline(dir, "events", "export")
	first, _, _ := strings.Cut(text, "\n")
	if strings.Count(text, "\n") < 2 {
		t.Fatalf("a log of one record: %s", text)
	}
	for room, want := range map[int]int{0: 0, len(first): 0, len(first) + 1: 1, len(text) - 1: strings.Count(text, "\n") - 1} {
		var talk bytes.Buffer
		p := program{stdout: &full{room}, stderr: &talk, environ: func() []string { return nil }}
		code := p.run([]string{"events", "export", "--data", dir, "--min-free", "1MiB"})
		if code != exitFailure || !strings.Contains(talk.String(), fmt.Sprintf(": %d records were written", want)) {
			t.Errorf("room for %d bytes: %d %s, want %d records", room, code, &talk, want)
		}
	}
}
