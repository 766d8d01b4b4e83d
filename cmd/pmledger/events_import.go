package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/pmledger/pmledger/api"
	"github.com/pmledger/pmledger/eventstore"
)

func (p *program) eventsImportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "import [file]",
		Short: "Make the log of an export in another store",
		Long: "Reads what pmledger events export has written, from a file or from stdin, and appends\n" +
			"it to the log of --store and --data: the same records in the same order, byte for\n" +
			"byte. Only positions differ. Moving a ledger from a disk to a cluster:\n" +
			"  pmledger events export --data ./data |\n" +
			"    pmledger events import --data ./data --secret-file ./data/secret --store esdb://…\n\n" +
			"The secret must be the one that the exported log was made with. The store must be\n" +
			"empty, or hold a beginning of the same log: that is compared and left as it is. So\n" +
			"an import that was cut off is completed by running it again, and once it is complete,\n" +
			"running it again changes nothing. An export made with --after adds to what an earlier\n" +
			"one has brought.\n\n" +
			"No server may write to the store meanwhile. A line that is damaged, missing, or not\n" +
			"what the store holds, ends the import with 1 and is named; what was appended before\n" +
			"is a beginning of the log.",
		Annotations: map[string]string{takesFile: "yes"},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exactly(1)(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := p.settings(cmd)
			if err != nil {
				return err
			}
			in, size, err := openExport(cmd, args)
			if err != nil {
				return err
			}
			x := &importing{program: p, Config: s.Config, in: eventstore.NewExportReader(in), size: size, log: p.commandLogger(s)}
			return errors.Join(explainLock(s.Config, x.run(cmd.Context())), in.Close())
		},
	}
}

// openExport opens the file that the arguments name, or stdin. The size is 0 when
// it is not known.
func openExport(cmd *cobra.Command, args []string) (io.ReadCloser, int64, error) {
	f, isFile := cmd.InOrStdin().(*os.File)
	if len(args) == 1 && args[0] != "-" {
		var err error
		if f, err = os.Open(args[0]); err != nil {
			return nil, 0, fmt.Errorf("the export cannot be opened: %w", err)
		}
	} else if !isFile {
		return io.NopCloser(cmd.InOrStdin()), 0, nil
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		return f, info.Size(), nil
	}
	return f, 0, nil
}

// importing is one run of events import.
type importing struct {
	*program
	Config
	in   *eventstore.ExportReader
	size int64 // of the export in bytes; 0 when it is not known
	log  *slog.Logger
}

// imported is the outcome of events import as --json prints it.
type imported struct {
	eventstore.Imported
	Seconds          float64 `json:"seconds"`
	RecordsPerSecond float64 `json:"records_per_second"` // of those appended
}

// run checks what can be checked before a store is opened, or made.
func (x *importing) run(ctx context.Context) error {
	fingerprint, err := x.fingerprint()
	if err != nil {
		return err
	}
	exported, err := x.in.First()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	fresh := !x.onCluster() && !exists(x.LogDir())
	switch {
	case fresh && errors.Is(err, io.EOF):
		return errors.New("the export is empty")
	case exported != nil:
		if err := exported.MadeWith(fingerprint); err != nil {
			return fmt.Errorf("%w (the secret is %s)", err, x.SecretPath())
		}
	case fresh:
		return fmt.Errorf("there is no log in %s, and the export does not begin with the first record of one: export the log from its start", x.LogDir())
	}
	t, err := openTarget(ctx, x.Config, x.log)
	if err != nil {
		return err
	}
	done, took, err := x.into(ctx, t, fingerprint)
	err = errors.Join(err, t.Close())
	if err != nil && fresh && done.Appended == 0 {
		return errors.Join(err, os.RemoveAll(x.LogDir()))
	}
	if err != nil {
		return x.stopped(err, done)
	}
	return x.report(done, took)
}

// fingerprint is that of the secret, which an import never makes.
func (x *importing) fingerprint() (string, error) {
	if !exists(x.SecretPath()) {
		return "", fmt.Errorf("the secret %s is missing: copy that of the exported ledger there, or name it with --secret-file", x.SecretPath())
	}
	secret, err := loadSecret(x.SecretPath(), false)
	if err != nil {
		return "", err
	}
	return api.Fingerprint(secret), nil
}

func (x *importing) into(ctx context.Context, t *truth, fingerprint string) (eventstore.Imported, time.Duration, error) {
	began := time.Now()
	bar := x.newProgress("importing", 0)
	done, err := eventstore.Import(ctx, t.store, x.in, eventstore.ImportOptions{
		Fingerprint: fingerprint,
		Begin:       func() error { return x.mark() },
		Progress: func(done eventstore.Imported) {
			if read := x.in.Bytes(); x.size > 0 && read > 0 {
				bar.expect(uint64(float64(done.Records) * float64(x.size) / float64(read)))
			}
			bar.at(done.Records)
		},
	})
	bar.end()
	if err == nil {
		err = x.unmark()
	}
	return done, time.Since(began), err
}

func (x *importing) stopped(err error, done eventstore.Imported) error {
	if done.Appended == 0 {
		return err
	}
	return fmt.Errorf("%w\n%d records were appended before. Run the import again to complete it", err, done.Appended)
}

func (x *importing) report(done eventstore.Imported, took time.Duration) error {
	result := imported{Imported: done, Seconds: took.Seconds()}
	if done.Appended > 0 {
		result.RecordsPerSecond = float64(done.Appended) / took.Seconds()
	}
	if x.json {
		return x.printJSON(result)
	}
	_, err := fmt.Fprintf(x.stdout, "imported %d records, up to position %d of the export: %d appended, %d there before; the log ends at position %d (%s, %.0f records/s)\n",
		done.Records, done.Source, done.Appended, done.Present, done.Head, took.Round(time.Millisecond), result.RecordsPerSecond)
	return err
}

// importMark is the file that says that the log of the configuration is being
// imported. While it is there, the log is a beginning of another one, and nothing
// may be added to it. The log on the disk and one on a cluster have each their own:
// during a move they share a data folder.
func (c Config) importMark() string {
	if c.onCluster() {
		return filepath.Join(c.Data, "store.importing")
	}
	return c.LogDir() + ".importing"
}

func (x *importing) mark() error {
	if exists(x.importMark()) {
		return nil
	}
	return writePrivate(x.importMark(), []byte("The log is being imported and is not complete. Run pmledger events import again.\n"))
}

func (x *importing) unmark() error {
	if err := os.Remove(x.importMark()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(x.Data)
}

// whole refuses a log that an import has not completed.
func (c Config) whole() error {
	if exists(c.importMark()) {
		return fmt.Errorf("an import has begun to make this log and was cut off: run pmledger events import with the same export again (%s says so)", c.importMark())
	}
	return nil
}
