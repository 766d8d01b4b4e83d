package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// fuzzed is what became of one fuzz target.
type fuzzed struct {
	folder, target string
	executions     int
	perSecond      float64
	output         string
	err            error
}

var (
	target     = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	executions = regexp.MustCompile(`execs: (\d+)`)
)

// fuzzTargets runs every fuzz target of the module for a while.
func (w *workbench) fuzzTargets(ctx context.Context, p *page) error {
	if w.fuzz == 0 || !w.chosen("fuzz") {
		return nil
	}
	return filepath.WalkDir(".", func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, found := range target.FindAllSubmatch(text, -1) {
			f := fuzzed{folder: filepath.Dir(path), target: string(found[1])}
			command := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+f.target+"$", "-fuzztime", w.fuzz.String(), "-fuzzminimizetime", "1x", "./"+f.folder)
			output, err := command.CombinedOutput()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			f.output, f.err = string(output), err
			if all := executions.FindAllStringSubmatch(f.output, -1); len(all) > 0 {
				f.executions, _ = strconv.Atoi(all[len(all)-1][1])
				f.perSecond = float64(f.executions) / w.fuzz.Seconds()
			}
			fmt.Fprintf(os.Stderr, "%-60s %d executions\n", "fuzz "+f.folder+" "+f.target, f.executions)
			p.fuzzed = append(p.fuzzed, f)
		}
		return nil
	})
}
