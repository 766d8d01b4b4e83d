package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// explanation stands under every table.
const explanation = `Every figure is the median of the rounds. Ratios are medians of the ratios of each round; spread is the least and the
greatest of them, relative to the median: to E, else to the reference, else to B, else of the figure itself.
E is an Echo server that answers static bytes of the same size. B is Echo with a PostgreSQL table, an outbox and a
relay to JetStream; it keeps no history. A run of writes ends when nothing is left to project or to publish, for B too.
At half load means half of what each system answers to 64 clients in the same round; requests arrive at a fixed rate,
and a latency counts from the moment at which the request was due. Commit to NATS ends at a plain subscriber.`

var columnNames = []string{"", "pmledger", "E", "of E", "B", "of B", "held against", "spread", "goals", ""}

// columns of a figure's line; what it does not have is empty.
func (f *figure) columns() []string {
	with := func(values []float64, unit string) string {
		if len(values) == 0 {
			return ""
		}
		if !strings.HasPrefix(unit, "/") {
			unit = " " + unit
		}
		return number(median(values)) + unit
	}
	against := ""
	if len(f.of) > 0 {
		against = number(f.ratio(toReference)) + " of " + f.reference + ", " + with(f.of, f.unit)
	}
	return []string{
		f.name, with(f.ours, f.unit), with(f.e, f.unit), number(f.ratio(toE)), with(f.b, f.unit), number(f.ratio(toB)),
		against, f.spread(), f.verdicts(), f.note,
	}
}

// printTable writes the report for a terminal.
func printTable(out io.Writer, head []string, figures []*figure) error {
	for _, line := range head {
		fmt.Fprintln(out, line)
	}
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	last := len(columnNames) - 1 // notes would make lines too long; they are in the file
	fmt.Fprintln(w, strings.Join(columnNames[:last], "\t"))
	for _, f := range figures {
		fmt.Fprintln(w, strings.Join(f.columns()[:last], "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\n%s\n", explanation)
	return err
}

// writeReport writes report.md and report.svg into a folder.
func writeReport(dir string, head []string, figures []*figure) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("# Measured\n\n")
	for _, line := range head {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	b.WriteString("\n![Ratios to E, and latencies](report.svg)\n\n")
	row := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	row(columnNames)
	b.WriteString("|---|--:|--:|--:|--:|--:|---|---|---|---|\n")
	for _, f := range figures {
		row(f.columns())
	}
	fmt.Fprintf(&b, "\n%s\n", explanation)
	if err := os.WriteFile(filepath.Join(dir, "report.md"), []byte(b.String()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "report.svg"), plot(head, figures), 0o644)
}
