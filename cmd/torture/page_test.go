package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pmledger/pmledger/eventstore/torture"
)

var errFailed = errors.New("exit status 1")

func TestThePageSaysWhatWasCounted(t *testing.T) {
	lost := campaign{name: "power loss"}
	p := page{
		settings: settings{size: "page"}, began: time.Now(),
		trials: []trial{
			{campaign: lost, took: 1500 * time.Millisecond, reports: []torture.Report{{
				Campaign: "power loss", Seed: 7,
				Counts: []torture.Figure{{Number: 100_000, What: "crash states"}}, Violations: []torture.Figure{{Number: 0, What: "lost"}},
			}}},
			{campaign: campaign{name: "system calls"}, output: []byte("    a_test.go:7: there is no strace\n--- SKIP: TestX (0.00s)\n")},
		},
		fuzzed: []fuzzed{{folder: "api", target: "FuzzCursor", executions: 12_345, perSecond: 6172.5}},
		caught: []caught{
			{trap: trap{"an append is not synced", "power loss"}, trial: trial{err: errFailed, output: []byte("    b_test.go:9: 3 | 4 lost\n")}},
		},
	}
	text := p.text()
	for _, line := range []string{
		"| power loss | 100 000 crash states | 0 lost | 7 | 2 s |",
		"| system calls | skipped: there is no strace |",
		"| api FuzzCursor | 12 345 | 6 172 | 0 |",
		"1 of 1 planted bugs caught.",
		`| an append is not synced | power loss | yes | 3 \| 4 lost |`,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q in\n%s", line, text)
		}
	}
	if err := p.verdict(); err != nil {
		t.Error(err)
	}
}

func TestWhatDidNotHoldFails(t *testing.T) {
	failed := trial{campaign: campaign{name: "power loss"}, err: errFailed, output: []byte("    a_test.go:7: 3 records lost\n--- FAIL: TestX\n")}
	bug := trap{"an append is not synced", "power loss"}
	for name, p := range map[string]page{
		"a campaign fails":                          {trials: []trial{failed}},
		"a fuzz target fails":                       {fuzzed: []fuzzed{{target: "FuzzX", err: errFailed}}},
		"a bug is not caught":                       {caught: []caught{{trap: bug}}},
		"a campaign fails with nothing planted too": {caught: []caught{{trap: bug, trial: failed, sound: errFailed}}},
	} {
		if p.verdict() == nil {
			t.Errorf("%s, and the page passes", name)
		}
		if text := p.text(); !strings.Contains(text, "**") && !strings.Contains(text, "## Failed") {
			t.Errorf("%s, and the page does not say so:\n%s", name, text)
		}
	}
}

func TestNumbersAreGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1 000", 1_234_567: "1 234 567", -1000: "-1 000"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
}
