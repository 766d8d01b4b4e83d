package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pmledger/pmledger/domain"
)

// errCardNumber is said of a value that is refused. The value is not repeated.
var errCardNumber = errors.New("it holds a card number, which the ledger does not take")

// fileFlags name files and folders. Those are not stored or published, and a path
// may have any digits.
var fileFlags = []string{
	"config", "data", "secret-file", "nats-password-file", "nats-token-file", "nats-creds", "nats-nkey",
	"nats-ca", "nats-cert", "nats-key", "tls-cert", "tls-key",
}

func (o option) namesFile() bool { return slices.Contains(fileFlags, o.key) }

// screen refuses a command line with a card number in it, before anything of it is
// stored, published, or repeated in a message.
func screen(root *cobra.Command, args []string) error {
	cmd, _, err := root.Find(args)
	if err != nil || cmd == nil {
		cmd = root
	}
	var faults []error
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		at := fmt.Sprintf("argument %d", i+1)
		path := false
		name, _, joined := strings.Cut(strings.TrimPrefix(args[i], "--"), "=")
		known := cmd.Flag(name)
		switch {
		case strings.HasPrefix(args[i], "--") && known != nil:
			at, path = "--"+name, slices.Contains(fileFlags, name)
			if !joined && known.NoOptDefVal == "" && i+1 < len(args) {
				i++ // the value stands by itself
			}
		case !strings.HasPrefix(args[i], "-"):
			path = cmd.Annotations[takesFile] != ""
		}
		if !path && domain.ContainsPAN(args[i]) {
			faults = append(faults, fmt.Errorf("%s: %w", at, errCardNumber))
		}
	}
	if i := slices.Index(args, "--"); i >= 0 && slices.ContainsFunc(args[i:], domain.ContainsPAN) {
		faults = append(faults, fmt.Errorf("an argument after --: %w", errCardNumber))
	}
	if len(faults) > 0 {
		return usageError{errors.Join(faults...)}
	}
	return nil
}

// takesFile is the annotation of a command whose arguments name files.
const takesFile = "file"

// named is a name as a message may repeat it.
func named(name string) string {
	if domain.ContainsPAN(name) {
		return "(a card number)"
	}
	return name
}
