package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/pmledger/pmledger/eventstore"
)

func (p *program) eventsExportCommand() *cobra.Command {
	var after string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write every record of the log as JSON Lines",
		Long: "Writes the log to stdout, one record a line, oldest first:\n" +
			"  {\"position\":…,\"follows\":…,\"stream\":…,\"version\":…,\"id\":…,\"type\":…,\"time\":…,\"data\":{…},\"metadata\":{…}}\n" +
			"data and metadata are the exact stored bytes, not written anew, so the hash of a\n" +
			"record can be computed from its line. follows is the hash of the record before it in\n" +
			"the log, so that a line which was lost or changed shows. pmledger events import\n" +
			"makes the same log from it in another store.\n\n" +
			"It ends with the last record that is there when it begins, and says its position:\n" +
			"--after that position goes on from there, when the log has grown.\n\n" +
			"With --store disk it opens the log: the server must be stopped. With a cluster,\n" +
			"servers may go on; --after then reads the log from its start all the same.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			position, err := eventstore.ParsePosition(after)
			if err != nil {
				return usageError{fmt.Errorf("--after: %w", err)}
			}
			return p.onLedger(cmd, openExisting, func(ctx context.Context, t *truth) error {
				return p.export(ctx, t, position)
			})
		},
	}
	cmd.Flags().StringVar(&after, "after", "0", "begin after this position")
	return cmd
}

// export is one export of a log.
type export struct {
	after, head eventstore.Position
	before      eventstore.Record // the one before the next; empty before the first
	out         *bufio.Writer
	line        []byte
	written     uint64 // to out, which may still hold them
}

// lineCounter counts the lines that the writer has taken whole.
type lineCounter struct {
	io.Writer
	lines int
}

func (c *lineCounter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.lines += bytes.Count(p[:n], []byte{'\n'})
	return n, err
}

func (p *program) export(ctx context.Context, t *truth, after eventstore.Position) error {
	head, err := t.store.Head(ctx)
	if err != nil {
		return err
	}
	if after > head {
		return fmt.Errorf("--after %d: %w, which is at %d", after, eventstore.ErrAhead, head)
	}
	out := &lineCounter{Writer: p.stdout}
	x := &export{after: after, head: head, out: bufio.NewWriterSize(out, 1<<16)}
	if after < head {
		bar := p.newProgress("exporting", x.most(t))
		err = x.run(ctx, t, bar)
		bar.end()
	}
	if err = errors.Join(err, x.out.Flush()); err != nil {
		return fmt.Errorf("%w\nThe export is not complete: %d records were written", err, out.lines)
	}
	p.say("exported %d records, up to position %d", x.written, head)
	return nil
}

// most is how many records there are to write, 0 where positions do not tell.
func (x *export) most(t *truth) uint64 {
	if t.cluster != nil {
		return 0
	}
	return uint64(x.head - x.after)
}

// run walks from the record before the first that is to be written. On a disk
// positions have no gaps; elsewhere only the walk from the start finds it.
func (x *export) run(ctx context.Context, t *truth, bar *progress) error {
	from := eventstore.Position(0)
	if t.cluster == nil && x.after > 0 {
		from = x.after - 1
	}
	for batch, err := range t.store.Follow(ctx, from) {
		if err != nil {
			return err
		}
		for _, r := range batch {
			if r.Position > x.head {
				return nil
			}
			if err := x.record(r); err != nil {
				return err
			}
		}
		bar.at(x.written)
		if batch[len(batch)-1].Position >= x.head {
			return nil
		}
	}
	return nil
}

func (x *export) record(r eventstore.Record) (err error) {
	if r.Position > x.after {
		follows := eventstore.NoPrev
		if x.before.Version > 0 {
			follows = x.before.LeafHash()
		}
		x.line, err = eventstore.Exported{Record: r, Follows: follows}.Append(x.line[:0])
		if err != nil {
			return fmt.Errorf("position %d: %w", r.Position, err)
		}
		if _, err := x.out.Write(x.line); err != nil {
			return err
		}
		x.written++
	}
	x.before = r
	return nil
}
