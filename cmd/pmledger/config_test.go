package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// load reads a configuration from a command line and an environment.
func load(t *testing.T, environ []string, args ...string) (Settings, error) {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	addFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return loadConfig(fs, func() []string { return environ })
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestBadFilesNameEveryFault reads testdata/*.bad.yml. Each "# fault:" line in a
// file is part of one line of the error, and there are no other lines.
func TestBadFilesNameEveryFault(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yml")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = load(t, nil, "--config", path)
			if err == nil {
				t.Fatal("it was accepted")
			}
			said := strings.Split(err.Error(), "\n")[1:]
			if strings.HasPrefix(err.Error(), "the configuration file") {
				said = []string{err.Error()}
			}
			var faults []string
			for line := range strings.Lines(string(text)) {
				if want, ok := strings.CutPrefix(line, "# fault: "); ok {
					faults = append(faults, strings.TrimSpace(want))
				}
			}
			for _, want := range faults {
				if !slices.ContainsFunc(said, func(line string) bool { return strings.Contains(line, want) }) {
					t.Errorf("no line says %q", want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "4242") {
				t.Error("a value that may be a secret is repeated")
			}
			if len(said) != len(faults) || t.Failed() {
				t.Errorf("%d faults expected, got:\n%v", len(faults), err)
			}
		})
	}
}

func TestAFlagWinsOverTheEnvironmentOverTheFileOverDevOverTheDefault(t *testing.T) {
	file := write(t, "c.yml", "http: 127.0.0.1:1\nadmin: 127.0.0.1:1\nnats-listen: 127.0.0.1:1\n")
	environ := []string{"PMLEDGER_HTTP=127.0.0.1:2", "PMLEDGER_ADMIN=127.0.0.1:2", "PATH=/bin"}
	s, err := load(t, environ, "--config", file, "--http", "127.0.0.1:3", "--dev")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ key, value, source string }{
		{"http", "127.0.0.1:3", "flag --http"},
		{"admin", "127.0.0.1:2", "env PMLEDGER_ADMIN"},
		{"nats-listen", "127.0.0.1:1", "file " + file},
		{"rate-limit", "0", "--dev"},
		{"dev", "true", "flag --dev"},
		{"data", "data", "default"},
	} {
		i := slices.IndexFunc(options(), func(o option) bool { return o.key == c.key })
		if got := options()[i].show(s.Config); got != c.value || s.Sources[c.key] != c.source {
			t.Errorf("%s is %s from %s, want %s from %s", c.key, got, s.Sources[c.key], c.value, c.source)
		}
	}
}

func TestEveryOptionIsReadFromTheEnvironment(t *testing.T) {
	values := map[string]string{
		"dev": "true", "dev-key": "pml_test_012345678901234567890", "http": "127.0.0.1:1", "admin": "", "data": "d", "store": "disk",
		"min-free": "1GiB", "secret-file": "s", "nats-url": "nats://h:1", "nats-listen": "", "nats-user": "", "nats-password-file": "", "nats-token-file": "",
		"nats-creds": "", "nats-nkey": "", "nats-ca": "", "nats-cert": "", "nats-key": "", "nats-replicas": "3", "gateway": "sandbox",
		"rate-limit": "2.5", "rate-burst": "3", "max-methods": "4", "wait-timeout": "5s", "max-lag": "7s", "drain-timeout": "6s",
		"tls-cert": "", "tls-key": "", "log-level": "warn", "gateways": "", "raw-cards": "true", "public-url": "https://pay.example.com",
	}
	var environ []string
	for _, o := range options() {
		value, ok := values[o.key]
		if !ok {
			t.Fatalf("this test does not know %s", o.key)
		}
		environ = append(environ, o.env()+"="+value)
	}
	s, err := load(t, environ)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Dev: true, DevKey: "pml_test_012345678901234567890", HTTP: "127.0.0.1:1", Data: "d", Store: "disk", MinFree: 1 << 30,
		SecretFile: "s", NATSURL: "nats://h:1", NATSReplicas: 3, Gateway: "sandbox", RateLimit: 2.5, RateBurst: 3, MaxMethods: 4,
		WaitTimeout: 5 * time.Second, MaxLag: 7 * time.Second, DrainTimeout: 6 * time.Second, LogLevel: "warn",
		RawCards: true, PublicURL: "https://pay.example.com",
	}
	if !reflect.DeepEqual(s.Config, want) {
		t.Errorf("got  %+v\nwant %+v", s.Config, want)
	}
	for key, source := range s.Sources {
		if !strings.HasPrefix(source, "env PMLEDGER_") {
			t.Errorf("%s comes from %s", key, source)
		}
	}
}

// TestATextMeansTheSameInEverySource gives texts to each option as a flag, in the
// environment and in the file, bare and quoted: all take it as the same value, or
// none takes it.
func TestATextMeansTheSameInEverySource(t *testing.T) {
	texts := []string{"1.5", "-100", "2", "2s", "2.7", "true", "0x10", "010", "1_000", "5 MiB", "1e3", "yes", "2026-01-31", "12:30:45", "off"}
	for _, o := range options() {
		if o.secret == "all" || o.isList() {
			continue
		}
		for _, text := range texts {
			var flag Settings
			var flagErr error
			if o.kind() == reflect.Bool { // its flag is read by pflag, which ends the test
				flag, flagErr = load(t, []string{o.env() + "=" + text})
			} else {
				flag, flagErr = load(t, nil, "--"+o.key+"="+text)
			}
			for name, in := range map[string]string{"bare": o.key + ": " + text, "quoted": o.key + ": '" + text + "'"} {
				file, fileErr := load(t, nil, "--config", write(t, "c.yml", in+"\n"))
				if (fileErr == nil) != (flagErr == nil) || fileErr == nil && !reflect.DeepEqual(flag.Config, file.Config) {
					t.Errorf("%s %s: the file gives %s, %v; the flag %s, %v", name, in, o.show(file.Config), fileErr, o.show(flag.Config), flagErr)
				}
			}
		}
	}
}

func TestAMemberWithoutAValueIsOneThatIsEmpty(t *testing.T) {
	s, err := load(t, nil, "--config", write(t, "c.yml", "admin:\nnats-url: ~\ngateways:\n"))
	if err != nil || s.Admin != "" || s.NATSURL != "" || s.Gateways != nil {
		t.Errorf("got %+v, %v", s.Config, err)
	}
	if _, err := load(t, nil, "--config", write(t, "c.yml", "min-free:\n")); err == nil {
		t.Error("min-free without a value was taken")
	}
	if _, err := load(t, nil, "--config", write(t, "c.yml", "# nothing\n")); err != nil {
		t.Errorf("a file of comments: %v", err)
	}
}

func TestDevListensForNATSOnlyWhenTheServerIsEmbedded(t *testing.T) {
	embedded, err := load(t, nil, "--dev")
	if err != nil || embedded.NATSListen != "127.0.0.1:4222" {
		t.Errorf("embedded: %q, %v", embedded.NATSListen, err)
	}
	external, err := load(t, nil, "--dev", "--nats-url", "nats://127.0.0.1:4222")
	if err != nil || external.NATSListen != "" {
		t.Errorf("external: %q, %v", external.NATSListen, err)
	}
	plain, err := load(t, nil)
	if err != nil || plain.NATSListen != "" || plain.RateLimit == 0 {
		t.Errorf("without --dev: %+v, %v", plain.Config, err)
	}
}

func TestADevKeyMustBeATestKeyOfSomeLength(t *testing.T) {
	for key, ok := range map[string]bool{
		"pml_test_" + strings.Repeat("x", 21): true,
		"pml_test_" + strings.Repeat("x", 20): false,
		"pml_live_" + strings.Repeat("x", 30): false,
		"pml_test_" + strings.Repeat(" ", 30): false,
	} {
		_, err := load(t, []string{"PMLEDGER_DEV_KEY=" + key}, "--dev")
		if (err == nil) != ok {
			t.Errorf("%q: %v", key, err)
		}
		if err != nil && strings.Contains(err.Error(), key) {
			t.Errorf("the error shows the key: %v", err)
		}
		if _, err := load(t, []string{"PMLEDGER_DEV_KEY=" + key}); err != nil {
			t.Errorf("%q is not used without --dev, but: %v", key, err)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	const key, password = "pml_test_do_not_print_me_0123456789", "hunter2hunter2"
	var out, talk bytes.Buffer
	p := program{stdout: &out, stderr: &talk, environ: func() []string {
		return []string{"PMLEDGER_DEV_KEY=" + key, "PMLEDGER_NATS_URL=nats://me:" + password + "@nats.example:4222", "PMLEDGER_TYPO=1"}
	}}
	for _, args := range [][]string{{"config"}, {"config", "--json"}, {"config", "--dev"}, {"config", "--nats-listen", "127.0.0.1:1"}} {
		p.run(args)
	}
	printed := out.String() + talk.String()
	if strings.Contains(printed, key) || strings.Contains(printed, password) {
		t.Errorf("a secret was printed:\n%s", printed)
	}
	if !strings.Contains(printed, "(set)") || !strings.Contains(printed, "nats.example:4222") || !strings.Contains(printed, "PMLEDGER_TYPO") {
		t.Errorf("what is no secret is missing:\n%s", printed)
	}
}

func TestConfigPrintsEveryOptionWithItsSource(t *testing.T) {
	var out bytes.Buffer
	p := program{stdout: &out, stderr: &out, environ: func() []string { return nil }}
	if code := p.run([]string{"config", "--json", "--min-free", "1048576"}); code != exitOK {
		t.Fatalf("exit code %d: %s", code, &out)
	}
	var lines []configLine
	if err := json.Unmarshal(out.Bytes(), &lines); err != nil {
		t.Fatal(err)
	}
	if len(lines) != len(options()) {
		t.Errorf("%d lines for %d options", len(lines), len(options()))
	}
	for _, l := range lines {
		if l.Option == "min-free" && (l.Value != "1MiB" || l.Source != "flag --min-free") {
			t.Errorf("got %+v", l)
		}
	}
}

func TestWrongCallsExitWithTwo(t *testing.T) {
	for _, args := range [][]string{
		{"--no-such-flag"}, {"no-such-command"}, {"config", "surplus"}, {"config", "--store", "tape"},
		{"config", "--config", "no-such-file.yml"}, {"config", "--rate-burst", "many"},
		{"keys", "create", "--organization", "a b", "--scopes", "nothing"}, {"keys", "no-such-command"}, {"completion", "no-such-shell"}, {"events", "export", "--after", "x"},
		{"completion", "bash", "surplus"}, {"help", "no-such-command"}, {"help", "keys", "no-such-command"},
	} {
		var out, talk bytes.Buffer
		p := program{stdout: &out, stderr: &talk, environ: func() []string { return nil }}
		if code := p.run(args); code != exitUsage {
			t.Errorf("%v: exit code %d, want %d: %s", args, code, exitUsage, &talk)
		}
		if out.Len() > 0 || talk.Len() == 0 {
			t.Errorf("%v: talk belongs on stderr; stdout has %q", args, &out)
		}
	}
}

func TestSizesAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "512": 512, "512B": 512, "64KiB": 64 << 10, "256MiB": 256 << 20, "1 GiB": 1 << 30, "2GB": 2e9, "1TiB": 1 << 40,
	} {
		var got, again Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%d is written as %s, which reads as %d", got, got, again)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5GiB", "99999999TiB", "12 apples"} {
		var s Size
		if s.UnmarshalText([]byte(text)) == nil {
			t.Errorf("%q was accepted as %d", text, s)
		}
	}
}
