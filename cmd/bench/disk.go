package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
)

// syncs measures fdatasync after a small write to a growing file, the least that
// a durable append can cost on this volume.
func syncs(dir string, count int) (latencies, error) {
	took := newLatencies()
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return took, err
	}
	defer f.Close()
	block := make([]byte, 2048)
	for range count {
		if _, err := f.Write(block); err != nil {
			return took, err
		}
		began := time.Now()
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return took, err
		}
		took.record(time.Since(began))
	}
	return took, nil
}

// used is how many bytes the files under a folder take on the disk.
func used(dir string) (bytes float64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && !d.IsDir() {
			bytes += float64(stat.Blocks) * 512
		}
		return nil
	})
	return bytes, err
}

// scan reads the log of a data folder once in order, with its checksums, decodes
// every record and prints the records per second: what a rebuild cannot do without.
func scan(ctx context.Context, dir string, out io.Writer) error {
	store, err := disk.Open(filepath.Join(dir, "log"), disk.Options{})
	if err != nil {
		return err
	}
	head, err := store.Head(ctx)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	began, n := time.Now(), 0
	for batch, err := range store.Follow(ctx, 0) {
		if err != nil {
			return errors.Join(err, store.Close())
		}
		for _, r := range batch {
			if _, _, err := eventstore.DecodeRecord(r); err != nil {
				return errors.Join(err, store.Close())
			}
		}
		if n += len(batch); batch[len(batch)-1].Position >= head {
			break
		}
	}
	fmt.Fprintln(out, float64(n)/time.Since(began).Seconds())
	return store.Close()
}

// scanned runs scan in a process of its own.
func scanned(ctx context.Context, data string) (float64, error) {
	cmd, line, err := child(ctx, "-role", "scan", "-dir", data)
	if err != nil {
		return 0, fmt.Errorf("scan: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return 0, fmt.Errorf("scan: %w", err)
	}
	return strconv.ParseFloat(line, 64)
}
