// Command bench measures pmledger and prints each figure with what it is held
// against, measured in the same run and in turn: E, an Echo server that answers
// static bytes of the same size, and B, the same payment methods kept in
// PostgreSQL with an outbox. Absolute figures belong to one machine on one day;
// the ratios are what counts.
//
// pmledger runs as in production: the built program, durable appends, views,
// publisher, embedded NATS, and the default level of log, which has no line for a
// request that succeeds. All servers and the load generator are processes that
// share the same cores. A run of writes ends when nothing is left to project or to
// publish.
//
// It fails when an answer is wrong or a message does not come. A goal that is
// missed is printed as missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

// settings are the flags.
type settings struct {
	rounds       int
	length       time.Duration
	dir          string
	only         string
	cpu          string
	report       string
	baseline     bool
	drain        int
	methods      int
	calm         float64
	calmMessages int
	smoke        bool
}

func flags() (s settings, role, postgres string) {
	flag.IntVar(&s.rounds, "rounds", 5, "rounds; the medians are printed")
	flag.DurationVar(&s.length, "length", 800*time.Millisecond, "length of one measurement")
	flag.StringVar(&s.dir, "dir", "", "folder to measure in, on the volume in question; empty: a temporary one")
	flag.StringVar(&s.only, "only", "", "measure only what begins so, such as \"attach, 64\", \"expiry drain\" or \"kurrent\"")
	flag.StringVar(&s.cpu, "cpuprofile", "", "file for a CPU profile of pmledger during its last measurement")
	flag.StringVar(&s.report, "report", "", "folder for report.md and report.svg; empty: the table only")
	flag.BoolVar(&s.baseline, "baseline", true, "measure B too; it needs PostgreSQL, which root installs with apt-get when it is missing")
	flag.IntVar(&s.drain, "drain", 9_000, "notices of the expiry drain, in as many turns as there are rounds, 3 at most")
	flag.IntVar(&s.methods, "methods", 100_000, "size of the large ledger")
	flag.Float64Var(&s.calm, "calm", 1, "attaches per second of the calm measurement")
	flag.IntVar(&s.calmMessages, "calmmessages", 5, "attaches of the calm measurement in each round")
	flag.BoolVar(&s.smoke, "smoke", false, "see that everything works, in small sizes; the figures mean nothing")
	flag.StringVar(&role, "role", "", "used by bench itself: echo, baseline, scan or kurrent")
	flag.StringVar(&postgres, "postgres", "", "used by bench itself")
	flag.Parse()
	if s.smoke {
		s.rounds, s.length, s.drain, s.methods, s.calm, s.calmMessages = 1, 100*time.Millisecond, 200, 1000, 20, 3
	}
	return s, role, postgres
}

// stdout is what a role prints to its parent.
var stdout = os.Stdout

func main() {
	s, role, postgres := flags()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, s, role, postgres); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings, role, postgres string) error {
	switch role {
	case "echo":
		return serveEcho(ctx, stdout)
	case "baseline":
		return serveBaseline(ctx, s, postgres)
	case "scan":
		return scan(ctx, s.dir, stdout)
	case "kurrent":
		return serveKurrent(ctx, stdout)
	}
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "pmledger-bench-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		s.dir = dir
	}
	head, err := machine(s)
	if err != nil {
		return err
	}
	figures, err := perform(ctx, s, []stage{&serving{settings: s}, &scale{settings: s}, &drain{settings: s}, &kurrentCost{settings: s}})
	if err != nil {
		return err
	}
	err = printTable(stdout, head, figures)
	if s.report != "" {
		err = errors.Join(err, writeReport(s.report, head, figures))
	}
	return err
}
