package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// envPrefix begins the name of every environment variable that is read.
const envPrefix = "PMLEDGER_"

// Settings are a Config with where each value came from, by key: "default",
// "--dev", "file <path>", "env <name>" or "flag --<name>".
type Settings struct {
	Config
	Sources map[string]string
	Unknown []string // environment variables with our prefix that name nothing
}

// addFlags declares a flag for every field of Config, and --config.
func addFlags(fs *pflag.FlagSet) {
	fs.String("config", "", "YAML file with values for these flags, by the same names (PMLEDGER_CONFIG)")
	for _, o := range options() {
		switch {
		case !o.isFlag:
		case o.key == "dev", o.key == "raw-cards":
			fs.Bool(o.key, false, o.usage)
		default:
			fs.String(o.key, o.byDefault, o.usage)
		}
	}
}

// layer is one source of values.
type layer struct {
	values *koanf.Koanf
	source func(key string) string
}

// loadConfig reads the configuration from the flags of fs, the environment and
// the file that one of them names, and validates it. The error is a usageError
// with every fault on a line of its own.
func loadConfig(fs *pflag.FlagSet, environ func() []string) (Settings, error) {
	flags, environment, fromFile := koanf.New("."), koanf.New("."), koanf.New(".")
	if err := flags.Load(posflag.Provider(fs, ".", nil), nil); err != nil {
		return Settings{}, err
	}
	provider := env.Provider(".", env.Opt{Prefix: envPrefix, EnvironFunc: environ, TransformFunc: func(name, value string) (string, any) {
		return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, envPrefix)), "_", "-"), value
	}})
	if err := environment.Load(provider, nil); err != nil {
		return Settings{}, err
	}
	path := flags.String("config")
	if path == "" {
		path = environment.String("config")
	}
	var faults []error
	if path != "" {
		if err := fromFile.Load(file.Provider(path), fileParser{}); err != nil {
			return Settings{}, usageError{fmt.Errorf("the configuration file %s cannot be read: %w", path, err)}
		}
		faults = append(faults, unknownInFile(fromFile, path)...)
	}
	layers := []layer{
		{flags, func(key string) string { return "flag --" + key }},
		{environment, func(key string) string { return "env " + (option{key: key}).env() }},
		{fromFile, func(string) string { return "file " + path }},
	}
	s, decodeFaults := decode(layers)
	faults = append(append(faults, decodeFaults...), s.Validate())
	s.Unknown = unknownInEnv(environment)
	if err := errors.Join(faults...); err != nil {
		return s, usageError{fmt.Errorf("the configuration is wrong:\n%w", err)}
	}
	return s, nil
}

// decode takes each option from the first layer that has it.
func decode(layers []layer) (Settings, []error) {
	s := Settings{Sources: map[string]string{}}
	var faults []error
	for _, o := range options() {
		value, source := any(o.byDefault), "default"
		external := o.key == "nats-listen" && s.NATSURL != ""
		if s.Dev && o.differs && !external {
			value, source = o.inDev, "--dev"
		}
		for _, l := range layers {
			if l.values.Exists(o.key) {
				value, source = l.values.Get(o.key), l.source(o.key)
				if value == nil {
					value = "" // a member of the file without a value
				}
				break
			}
		}
		s.Sources[o.key] = source
		for _, err := range setField(&s.Config, o, value) {
			faults = append(faults, fmt.Errorf("%w (from %s)", err, source))
			if o.key == "gateways" {
				s.Gateway = kindSandbox // whether the list has the default is not known
			}
		}
	}
	return s, faults
}

// setField decodes one value and names every fault in it. With a fault the field
// gets its default, so that the rest can still be validated.
func setField(c *Config, o option, value any) []error {
	faults := o.misfits(value)
	if len(faults) == 0 {
		if o.decode(c, value) == nil {
			return nil
		}
		faults = []error{fmt.Errorf("%s: %q is not a value for it: %s", o.key, fmt.Sprint(value), o.usage)}
	}
	if err := o.decode(c, o.byDefault); err != nil {
		faults = append(faults, err)
	}
	return faults
}

func (o option) decode(c *Config, value any) error {
	if value == "" && o.isList() {
		return nil
	}
	one := koanf.New(".")
	if err := one.Set(o.key, value); err != nil {
		return err
	}
	return one.Unmarshal("", c)
}

func unknownInFile(values *koanf.Koanf, path string) []error {
	var faults []error
	for _, key := range slices.Sorted(maps.Keys(values.Raw())) {
		if !known(key) {
			faults = append(faults, fmt.Errorf("%s: %s does not name an option; pmledger config lists them", named(key), path))
		}
	}
	return append(faults, unknownInGateways(values.Get("gateways"))...)
}

// unknownInEnv finds misspelt variables. They are no error: an orchestrator makes
// variables from the names of services, and one of those may be pmledger.
func unknownInEnv(values *koanf.Koanf) []string {
	var names []string
	for _, key := range slices.Sorted(maps.Keys(values.Raw())) {
		if !known(key) && key != "config" {
			names = append(names, named((option{key: key}).env()))
		}
	}
	return names
}

func known(key string) bool {
	return slices.ContainsFunc(options(), func(o option) bool { return o.key == key })
}
