package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func (p *program) configCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print the effective configuration and where each value came from",
		Long: "Prints every option with its effective value and its source: default, --dev, file,\n" +
			"env or flag. Secrets are never printed.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.settings(cmd)
			if err != nil {
				return err
			}
			if len(s.Unknown) > 0 {
				p.say("not used, because they name no option: %s", strings.Join(s.Unknown, ", "))
			}
			return p.printConfig(s)
		},
	}
}

// configLine is an option as pmledger config --json prints it.
type configLine struct {
	Option string `json:"option"`
	Value  string `json:"value"`
	Source string `json:"source"`
	Env    string `json:"env"`
	Usage  string `json:"usage"`
}

func (p *program) printConfig(s Settings) error {
	var lines []configLine
	for _, o := range options() {
		lines = append(lines, configLine{Option: o.key, Value: o.show(s.Config), Source: s.Sources[o.key], Env: o.env(), Usage: o.usage})
	}
	if p.json {
		return p.printJSON(lines)
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "OPTION\tVALUE\tSOURCE")
	for _, l := range lines {
		fmt.Fprintf(table, "%s\t%s\t%s\n", l.Option, l.Value, l.Source)
	}
	return table.Flush()
}
