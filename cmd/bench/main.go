// Command bench measures pmledger next to E, an Echo server that answers static
// bytes of the same size, in one interleaved run with one load generator, and
// prints each figure with its ratio to E. Absolute figures belong to one machine
// on one day; the ratios are what counts.
//
// pmledger runs as in production: the built program, durable appends, views,
// publisher and embedded NATS, one line of log for each request. Product, E and
// generator are three processes that share the same cores. A run of attaches ends
// when nothing is left to project or to publish. The expiry drain has no E: attaches
// beside it are compared with attaches without it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"time"
)

// settings are the flags.
type settings struct {
	rounds int
	length time.Duration
	dir    string
	only   string
	cpu    string
	drain  int
}

func main() {
	var s settings
	flag.IntVar(&s.rounds, "rounds", 3, "rounds; the medians are printed")
	flag.DurationVar(&s.length, "length", 2*time.Second, "length of one measurement")
	flag.StringVar(&s.dir, "dir", "", "folder to measure in, on the volume in question; empty: a temporary one")
	flag.StringVar(&s.only, "only", "", "measure only the rows whose name begins so, such as \"attach, 64\" or \"expiry drain\"; nothing else then")
	flag.StringVar(&s.cpu, "cpuprofile", "", "file for a CPU profile of pmledger during its last measurement")
	flag.IntVar(&s.drain, "drain", 10_000, "notices that become due for the expiry drain, in as many turns as there are rounds, 3 at most; 0 leaves it out")
	role := flag.String("role", "", "used by bench itself: echo or scan")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, s, *role); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings, role string) error {
	switch role {
	case "echo":
		return serveEcho(ctx, os.Stdout)
	case "scan":
		return scan(ctx, s.dir, os.Stdout)
	}
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "pmledger-bench-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		s.dir = dir
	}
	fmt.Printf("%d cores, %s, %d rounds of %s, medians; load generator included\n\n", runtime.NumCPU(), runtime.Version(), s.rounds, s.length)
	return compare(ctx, s)
}
