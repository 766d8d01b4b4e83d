package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// usageError is a mistake in the call itself: a flag, an argument, the
// configuration. It ends the program with exitUsage.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// program is one run of pmledger. Data goes to stdout, talk to stderr.
type program struct {
	stdout, stderr io.Writer
	environ        func() []string
	json           bool // --json
}

// run executes the command line and returns the exit code. SIGINT and SIGTERM end
// the command's context; a second one ends the process at once.
func (p *program) run(args []string) int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		<-signals
		stop()
		<-signals
		os.Exit(exitFailure)
	}()
	err := p.execute(ctx, args)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(p.stderr, "pmledger: %v\n", err)
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitFailure
}

func (p *program) execute(ctx context.Context, args []string) error {
	root := p.rootCommand()
	if err := screen(root, args); err != nil {
		return err
	}
	root.SetArgs(args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	return root.ExecuteContext(ctx)
}

func (p *program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "pmledger",
		Short:         "A ledger of payment methods: every change an event, every event on NATS",
		Long:          "pmledger keeps payment methods as an append-only history of events, answers HTTP\nqueries from views of it, and publishes every public event over NATS.\n\nTry it:  pmledger serve --dev",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs, // so that an unknown command is told below, with its exit code
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("there is no command %q; pmledger --help lists them", args[0])}
			}
			return cmd.Help()
		},
	}
	root.PersistentFlags().BoolVar(&p.json, "json", false, "print data as JSON")
	addFlags(root.PersistentFlags())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(
		p.serveCommand(), p.keysCommand(), p.configCommand(), p.eventsCommand(), p.historyCommand(), p.natsCommand(),
		p.rebuildCommand(), p.openapiCommand(), p.doctorCommand(), p.readyCommand(), p.versionCommand(),
	)
	root.InitDefaultCompletionCmd()
	completion, _, _ := root.Find([]string{"completion"})
	refuseUnknown(completion)
	for _, shell := range completion.Commands() {
		shell.Args = none
	}
	root.InitDefaultHelpCmd()
	help, _, _ := root.Find([]string{"help"})
	help.Args = func(_ *cobra.Command, args []string) error {
		if _, rest, err := root.Find(args); err != nil || len(rest) > 0 {
			return usageError{fmt.Errorf("there is no command %q; pmledger --help lists them", strings.Join(args, " "))}
		}
		return nil
	}
	return root
}

// refuseUnknown makes a command that only holds others say so of what it does not hold.
func refuseUnknown(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError{fmt.Errorf("there is no command %q; see %s --help", args[0], cmd.CommandPath())}
		}
		return cmd.Help()
	}
}

// group is a command that only holds others.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short}
	refuseUnknown(cmd)
	cmd.AddCommand(children...)
	return cmd
}

// none refuses arguments, exactly refuses any other number of them.
func none(cmd *cobra.Command, args []string) error { return exactly(0)(cmd, args) }

func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return usageError{fmt.Errorf("%s takes %d arguments, not %d; see %s --help", cmd.CommandPath(), n, len(args), cmd.CommandPath())}
	}
}

// settings reads the configuration of a command.
func (p *program) settings(cmd *cobra.Command) (Settings, error) {
	return loadConfig(cmd.Flags(), p.environ)
}

// printJSON writes v on stdout as one JSON value, indented.
func (p *program) printJSON(v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := p.stdout.Write(b.Bytes())
	return err
}

// say writes a line for people on stderr.
func (p *program) say(format string, args ...any) {
	fmt.Fprintf(p.stderr, format+"\n", args...)
}
