package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pmledger/pmledger/eventstore/planted"
	"github.com/pmledger/pmledger/eventstore/torture"
)

// workbench builds the programs of the tests and runs them.
type workbench struct {
	settings
	dir string // for programs, logs and reports
}

// trial is one run of a campaign's test.
type trial struct {
	campaign campaign
	reports  []torture.Report
	took     time.Duration
	output   []byte
	err      error // of the test, when it failed
}

// program builds the tests of a folder, with planted bugs or without, and returns
// the path of the program.
func (w *workbench) program(ctx context.Context, folder string, withBugs bool) (string, error) {
	path, arguments := filepath.Join(w.dir, strings.ReplaceAll(folder, "/", "-")+".test"), []string{"test", "-c"}
	if withBugs {
		path = strings.TrimSuffix(path, ".test") + "-planted.test"
		arguments = append(arguments, "-tags", "planted")
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	build := exec.CommandContext(ctx, "go", append(arguments, "-o", path, "./"+folder)...)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the tests of %s: %w\n%s", folder, err, out)
	}
	return path, nil
}

// try runs a campaign in a size, with at most one bug planted. An error means that
// it could not be run; that it failed is in the trial.
func (w *workbench) try(ctx context.Context, c campaign, size string, bugged bool, bug planted.Bug) (trial, error) {
	program, err := w.program(ctx, c.folder, bugged)
	if err != nil {
		return trial{}, err
	}
	report := filepath.Join(w.dir, "report.jsonl")
	if err := os.RemoveAll(report); err != nil {
		return trial{}, err
	}
	test := exec.CommandContext(ctx, program, "-test.run", "^"+c.test+"$", "-test.v", "-test.timeout", fmt.Sprintf("%dm", max(c.minutes, 5)))
	test.Dir = c.folder
	test.Env = append(os.Environ(), torture.SizeEnv+"="+size, torture.ReportEnv+"="+report, planted.Env+"="+string(bug))
	if w.seed != "" {
		test.Env = append(test.Env, torture.SeedEnv+"="+w.seed)
	}
	began := time.Now()
	output, err := test.CombinedOutput()
	t := trial{campaign: c, took: time.Since(began), output: output, err: err}
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) || ctx.Err() != nil {
		return t, errors.Join(err, ctx.Err())
	}
	if bytes.Contains(output, []byte("no tests to run")) {
		return t, fmt.Errorf("%s has no test %s", c.folder, c.test)
	}
	t.reports, err = readReports(report)
	if err == nil && t.err == nil && len(t.reports) == 0 && !skipped(output) {
		err = fmt.Errorf("%s of %s passes and reports nothing", c.test, c.folder)
	}
	return t, err
}

func readReports(path string) ([]torture.Report, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []torture.Report
	for line := range bytes.Lines(text) {
		var r torture.Report
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("a campaign's report: %w", err)
		}
		all = append(all, r)
	}
	return all, nil
}

func skipped(output []byte) bool { return bytes.Contains(output, []byte("--- SKIP: ")) }

// campaigns runs all that were chosen, one after the other: each uses all cores.
func (w *workbench) campaigns(ctx context.Context, p *page) error {
	for _, c := range theCampaigns {
		if !w.chosen(c.name) {
			continue
		}
		t, err := w.try(ctx, c, w.size, false, "")
		if err != nil {
			return err
		}
		progress(c.name, t)
		p.trials = append(p.trials, t)
	}
	return nil
}

// plantedBugs runs the campaign of each bug that was chosen. A campaign that fails by
// itself has caught nothing: one that has not been run yet is run without a bug first.
func (w *workbench) plantedBugs(ctx context.Context, p *page) error {
	size := "short"
	if w.size == "long" {
		size = "page"
	}
	sound := map[string]error{}
	for _, t := range p.trials {
		sound[t.campaign.name] = t.err
	}
	for _, trap := range theTraps {
		if !w.chosen(string(trap.bug)) && !w.chosen(trap.by) {
			continue
		}
		c, err := named(trap.by)
		if err != nil {
			return err
		}
		if _, known := sound[c.name]; !known {
			t, err := w.try(ctx, c, size, true, "")
			if err != nil {
				return err
			}
			progress(c.name+", nothing planted", t)
			sound[c.name] = t.err
		}
		t, err := w.try(ctx, c, size, true, trap.bug)
		if err != nil {
			return err
		}
		progress(c.name+", planted: "+string(trap.bug), t)
		p.caught = append(p.caught, caught{trap, t, sound[c.name]})
	}
	return nil
}

func named(name string) (campaign, error) {
	for _, c := range theCampaigns {
		if c.name == name {
			return c, nil
		}
	}
	return campaign{}, fmt.Errorf("no campaign is called %q", name)
}

// progress tells on standard error what was run.
func progress(what string, t trial) {
	verdict := "holds"
	switch {
	case t.err != nil:
		verdict = "FAILS"
	case skipped(t.output):
		verdict = "skipped"
	}
	fmt.Fprintf(os.Stderr, "%-60s %s, %s\n", what, verdict, t.took.Round(100*time.Millisecond))
}

// complaint is the first line in which a failed test says why.
func (t trial) complaint() string {
	lines := bufio.NewScanner(bytes.NewReader(t.output))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		place, text, ok := strings.Cut(line, ": ")
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return line
		}
		if ok && strings.Contains(place, "_test.go:") && !strings.Contains(text, torture.SeedEnv) {
			return text
		}
	}
	return ""
}
