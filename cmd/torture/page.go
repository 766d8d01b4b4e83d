package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/pmledger/pmledger/eventstore/torture"
)

// page is everything that was run.
type page struct {
	settings
	began  time.Time
	trials []trial
	fuzzed []fuzzed
	caught []caught
}

// caught is what became of a planted bug.
type caught struct {
	trap
	trial trial
	sound error // of the campaign with nothing planted
}

func (c caught) ok() bool { return c.trial.err != nil && c.sound == nil }

// text is the page in Markdown.
func (p *page) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# What it survives\n\n%s size, %d cores, %s, %s in all.\n", p.size, runtime.NumCPU(), runtime.Version(), time.Since(p.began).Round(time.Second))
	if len(p.trials) > 0 {
		b.WriteString("\n| campaign | tried | did not hold | seed | took |\n|---|---|---|---|--:|\n")
	}
	for _, t := range p.trials {
		p.rows(&b, t)
	}
	if len(p.fuzzed) > 0 {
		b.WriteString("\n| fuzz target | executions | each second | failures |\n|---|--:|--:|--:|\n")
	}
	for _, f := range p.fuzzed {
		failures := 0
		if f.err != nil {
			failures = 1
		}
		fmt.Fprintf(&b, "| %s %s | %s | %s | %d |\n", f.folder, f.target, grouped(int64(f.executions)), grouped(int64(f.perSecond)), failures)
	}
	if len(p.caught) > 0 {
		found := 0
		for _, c := range p.caught {
			if c.ok() {
				found++
			}
		}
		fmt.Fprintf(&b, "\n%d of %d planted bugs caught.\n\n| planted bug | noticed by | caught | what it said | took |\n|---|---|---|---|--:|\n", found, len(p.caught))
	}
	for _, c := range p.caught {
		verdict := "yes"
		if !c.ok() {
			verdict = "**no**"
		}
		if c.sound != nil {
			verdict = "**no**: it fails with nothing planted"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", c.bug, c.by, verdict, cell(c.trial.complaint()), seconds(c.trial.took))
	}
	b.WriteString(p.failures())
	return b.String()
}

// rows of one trial: one for each of its reports.
func (p *page) rows(b *strings.Builder, t trial) {
	switch {
	case t.err != nil && len(t.reports) == 0:
		fmt.Fprintf(b, "| %s | | **failed**: %s | | %s |\n", t.campaign.name, cell(t.complaint()), seconds(t.took))
	case len(t.reports) == 0:
		fmt.Fprintf(b, "| %s | skipped: %s | | | %s |\n", t.campaign.name, cell(t.complaint()), seconds(t.took))
	}
	for i, r := range t.reports {
		took, seed := "", ""
		if i == 0 {
			took = seconds(t.took)
		}
		if r.Seed != 0 {
			seed = fmt.Sprint(r.Seed)
		}
		violations := figures(r.Violations)
		if t.err != nil {
			violations = "**failed**: " + violations
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", r.Campaign, figures(r.Counts), violations, seed, took)
	}
}

// failures is the output of what failed and should not have.
func (p *page) failures() string {
	var b strings.Builder
	for _, t := range p.trials {
		if t.err != nil {
			fmt.Fprintf(&b, "\n## Failed: %s\n\n```\n%s\n```\n", t.campaign.name, tail(string(t.output)))
		}
	}
	for _, f := range p.fuzzed {
		if f.err != nil {
			fmt.Fprintf(&b, "\n## Failed: %s\n\n```\n%s\n```\n", f.target, tail(f.output))
		}
	}
	return b.String()
}

// verdict is an error when anything did not hold.
func (p *page) verdict() error {
	failed, missed := 0, 0
	for _, t := range p.trials {
		if t.err != nil {
			failed++
		}
	}
	for _, f := range p.fuzzed {
		if f.err != nil {
			failed++
		}
	}
	for _, c := range p.caught {
		if !c.ok() {
			missed++
		}
	}
	if failed+missed > 0 {
		return fmt.Errorf("%d campaigns failed, %d planted bugs were not caught", failed, missed)
	}
	return nil
}

func figures(all []torture.Figure) string {
	var words []string
	for _, f := range all {
		words = append(words, grouped(f.Number)+" "+f.What)
	}
	return strings.Join(words, ", ")
}

// grouped writes a number in groups of three digits.
func grouped(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + " " + text[i:]
	}
	return text
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }

// cell makes a text fit into a table.
func cell(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "|", "\\|"), "`", "'")
	if letters := []rune(s); len(letters) > 120 {
		s = string(letters[:120]) + "…"
	}
	return s
}

// tail of an output that may be long.
func tail(s string) string {
	const most = 8000
	if len(s) > most {
		s = "…" + s[len(s)-most:]
	}
	return strings.TrimSpace(s)
}

// write puts the page into a folder, with all that each failed campaign has said.
func (p *page) write(dir, text string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	err := os.WriteFile(filepath.Join(dir, "torture.md"), []byte(text), 0o644)
	for _, t := range p.trials {
		if t.err != nil {
			name := strings.ReplaceAll(t.campaign.name, " ", "-") + ".log"
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), t.output, 0o644))
		}
	}
	return err
}
