// Command torture runs the campaigns: tests that break pmledger on purpose and
// count what did not hold. It prints one page of figures, and the same as
// torture.md in a folder.
//
// Then it plants known bugs, one after the other, and runs the campaign that must
// notice each: a harness that finds nothing is worth what it would have found.
//
// It fails when anything did not hold, or when a bug was not caught.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

// settings are the flags.
type settings struct {
	size    string        // of the campaigns
	seed    string        // for all of them; empty: each chooses
	only    string        // campaigns and bugs whose name begins so
	planted bool          // the planted bugs only
	traps   bool          // the planted bugs at all
	fuzz    time.Duration // for each fuzz target
	report  string        // folder of torture.md; empty: none
}

func flags() (settings, error) {
	var s settings
	flag.StringVar(&s.size, "size", "page", "short (seconds each), page (ten minutes in all) or long (an hour or two)")
	flag.StringVar(&s.seed, "seed", "", "seed of all campaigns, to repeat a failure; empty: each chooses and prints its own")
	flag.StringVar(&s.only, "only", "", "run only campaigns and planted bugs whose names begin so; the fuzzing is called fuzz")
	flag.BoolVar(&s.planted, "planted", false, "run the planted bugs only")
	flag.BoolVar(&s.traps, "traps", true, "plant bugs and see that they are caught")
	flag.DurationVar(&s.fuzz, "fuzz", -1, "time for each fuzz target; negative: 2s, or 60s in the long size; 0: none")
	flag.StringVar(&s.report, "report", "", "folder to write torture.md into; empty: the terminal only")
	flag.Parse()
	if s.size != "short" && s.size != "page" && s.size != "long" {
		return s, fmt.Errorf("-size is short, page or long, not %q", s.size)
	}
	if s.fuzz < 0 {
		s.fuzz = 2 * time.Second
		if s.size == "long" {
			s.fuzz = time.Minute
		}
	}
	return s, nil
}

func (s settings) chosen(name string) bool { return strings.HasPrefix(name, s.only) }

func main() {
	s, err := flags()
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		err = run(ctx, s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	work, err := os.MkdirTemp("", "pmledger-torture-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	p := page{settings: s, began: time.Now()}
	bench := workbench{settings: s, dir: work}
	if !s.planted {
		if err := bench.campaigns(ctx, &p); err != nil {
			return err
		}
		if err := bench.fuzzTargets(ctx, &p); err != nil {
			return err
		}
	}
	if s.traps {
		if err := bench.plantedBugs(ctx, &p); err != nil {
			return err
		}
	}
	text := p.text()
	fmt.Print(text)
	if s.report != "" {
		if err := p.write(s.report, text); err != nil {
			return err
		}
	}
	return p.verdict()
}
