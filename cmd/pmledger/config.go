package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Config is everything that can be chosen about a pmledger process. Gateways is a
// member of the YAML file only, and DevKey has no flag. Every other field is a flag, an
// environment variable and a member of the YAML file under one name: --min-free,
// PMLEDGER_MIN_FREE, min-free. A flag wins over the
// environment, that over the file, that over the defaults of --dev, those over
// the defaults. Dev and NATSURL stand before the fields whose defaults they change.
type Config struct {
	// Dev is for trying out: NATS open on loopback, the test organization "demo"
	// with a key that has every scope, no rate limit, /metrics on HTTP too.
	Dev bool `koanf:"dev" default:"false" usage:"try it out: demo organization, NATS on loopback, no rate limit"`

	// HTTP is where the API listens. Port 0 takes a free one.
	HTTP string `koanf:"http" default:"127.0.0.1:8080" usage:"host:port the API listens on"`

	// Admin serves /metrics and /debug/pprof. It must not be reachable from
	// outside: a profile shows what the process is doing. Empty switches it off.
	Admin string `koanf:"admin" default:"127.0.0.1:8081" dev:"127.0.0.1:0" usage:"host:port for metrics and pprof; empty: none"`

	// Data holds log/ (the truth), views/ and nats/ (rebuilt from it), and secret.
	// With a cluster as Store the truth is there, and Data holds copies only.
	Data string `koanf:"data" default:"data" usage:"folder that holds the ledger"`

	// Store says what keeps the log: the folder log in Data, or a cluster of
	// KurrentDB or EventStoreDB by its connection string, which any number of
	// servers share. Other users of a machine can read the flags of a process: a
	// connection string with a password belongs into the environment or the file.
	Store string `koanf:"store" default:"disk" secret:"store" usage:"what keeps the log: disk, esdb://… or esdb+discover://… (a cluster)"`

	// MinFree must stay free on the volume of Data. Below it writes are refused
	// with storage.full, before anything is half written; reads go on.
	MinFree Size `koanf:"min-free" default:"256MiB" usage:"free space below which writes are refused, such as 256MiB"`

	// SecretFile holds the 32 bytes behind every keyed hash. Empty: secret in
	// Data. It is made when the log is empty, and must exist when it is not. With a
	// cluster as Store it must be given and exist: all servers need the same one.
	SecretFile string `koanf:"secret-file" default:"" usage:"file of the ledger's 32 secret bytes; empty: secret in --data"`

	// NATSURL publishes to a NATS cluster with JetStream instead of the embedded
	// server. Several addresses are separated by commas.
	NATSURL string `koanf:"nats-url" default:"" secret:"url" usage:"external NATS to publish to, instead of the embedded server"`

	// NATSUser and NATSPasswordFile, NATSTokenFile, NATSCreds and NATSNkey are ways
	// to log in to NATSURL; one of them, or a user in NATSURL itself. They are files,
	// because other users of a machine can read the flags of a process. All but the
	// seed are read again for every new connection.
	NATSUser         string `koanf:"nats-user" default:"" usage:"user at --nats-url"`
	NATSPasswordFile string `koanf:"nats-password-file" default:"" usage:"file of the password of --nats-user"`
	NATSTokenFile    string `koanf:"nats-token-file" default:"" usage:"file of the token for --nats-url"`
	NATSCreds        string `koanf:"nats-creds" default:"" usage:"credentials file (JWT and seed) for --nats-url"`
	NATSNkey         string `koanf:"nats-nkey" default:"" usage:"file of the NKey seed for --nats-url"`

	// NATSCA, NATSCert and NATSKey are for TLS with NATSURL: who signed the servers'
	// certificates, and what this client shows. They are read again for every new
	// connection.
	NATSCA   string `koanf:"nats-ca" default:"" usage:"PEM file of the certificates that NATS servers are checked against; empty: the system's"`
	NATSCert string `koanf:"nats-cert" default:"" usage:"PEM file of the client certificate for --nats-url"`
	NATSKey  string `koanf:"nats-key" default:"" usage:"PEM file of the client certificate's key"`

	// NATSReplicas is used when the stream is made. One that is there keeps its own.
	NATSReplicas int `koanf:"nats-replicas" default:"0" usage:"servers of --nats-url that keep the stream, 1 to 5; 0: 3 in a cluster, 1 on a single server"`

	// NATSListen opens the embedded NATS server to other processes. Outside --dev
	// it asks for the user "consumer" and the password in Data/nats-password.
	// Empty: only this process reaches it. Excludes NATSURL.
	NATSListen string `koanf:"nats-listen" default:"" dev:"127.0.0.1:4222" usage:"host:port the embedded NATS server listens on; empty: in process only"`

	// Gateway is the provider of an attach that names none.
	Gateway string `koanf:"gateway" default:"sandbox" usage:"provider of an attach that names none: sandbox, or one of gateways"`

	// Gateways are the payment providers beside the sandbox, with the files of
	// their keys. They are a list, and so in the YAML file only.
	Gateways []GatewayConfig `koanf:"gateways" default:"" flag:"no" usage:"payment providers: name, kind (stripe, sandbox), organizations (name, key-file, webhook-secret-file)"`

	// RawCards lets card numbers through to the default gateway, which puts the
	// deployment in scope of PCI DSS. It needs TLS, except on loopback in --dev.
	RawCards bool `koanf:"raw-cards" default:"false" usage:"take card numbers and pass them on to the gateway; needs TLS"`

	// PublicURL is where buyers come back to from an approval. Empty: the address
	// of HTTP, when a browser on this machine can open it.
	PublicURL string `koanf:"public-url" default:"" usage:"address at which buyers reach the API, such as https://pay.example.com"`

	// RateLimit is what one API key may ask for, on average. 0: no limit.
	RateLimit float64 `koanf:"rate-limit" default:"1000" dev:"0" usage:"requests per second for one API key; 0: no limit, nor one for wrong keys"`

	// RateBurst is how many requests of one key may come at once.
	RateBurst int `koanf:"rate-burst" default:"2000" usage:"requests one API key may send at once"`

	// MaxMethods bounds what one command has to read and decide on.
	MaxMethods int `koanf:"max-methods" default:"1000" usage:"payment methods a customer may have attached"`

	// WaitTimeout bounds how long a read waits for the views to reach the
	// position it needs; then it is answered with position.not_reached.
	WaitTimeout time.Duration `koanf:"wait-timeout" default:"2s" usage:"how long a read waits for its position"`

	// MaxLag is how long the views may be behind the log before /readyz takes this
	// server away, and before API keys are looked up in the log. So a key that is
	// revoked on one server works no longer than that on another.
	MaxLag time.Duration `koanf:"max-lag" default:"10s" usage:"how long the views may be behind the log before the server is not ready"`

	// DrainTimeout bounds how long requests that are running at SIGTERM may take.
	DrainTimeout time.Duration `koanf:"drain-timeout" default:"15s" usage:"how long running requests may take at SIGTERM"`

	// TLSCert and TLSKey make the API HTTPS. They come together.
	TLSCert string `koanf:"tls-cert" default:"" usage:"PEM file of the certificate chain; serves HTTPS"`
	TLSKey  string `koanf:"tls-key" default:"" usage:"PEM file of the certificate's key"`

	// LogLevel is the least level that is logged.
	LogLevel string `koanf:"log-level" default:"info" usage:"debug (every request), info (those refused), warn or error"`

	// DevKey is the demo organization's key in --dev: pml_test_ and more, 30
	// characters at least. Empty: made once and kept in Data/demo-key. It is no
	// flag, because other users of a machine can read the flags of a process.
	DevKey string `koanf:"dev-key" default:"" secret:"all" flag:"no" usage:"key of the demo organization"`
}

// LogDir, ViewsDir and NATSDir are the folders of the truth and of the two
// copies that can be made again from it.
func (c Config) LogDir() string   { return filepath.Join(c.Data, "log") }
func (c Config) ViewsDir() string { return filepath.Join(c.Data, "views") }
func (c Config) NATSDir() string  { return filepath.Join(c.Data, "nats") }

// SecretPath is the file of the secret.
func (c Config) SecretPath() string {
	if c.SecretFile != "" {
		return c.SecretFile
	}
	return filepath.Join(c.Data, "secret")
}

// DemoKeyPath is the file of the key that --dev made.
func (c Config) DemoKeyPath() string { return filepath.Join(c.Data, "demo-key") }

// NATSPasswordPath is the file of the password for consumers outside --dev.
func (c Config) NATSPasswordPath() string { return filepath.Join(c.Data, "nats-password") }

// Level is LogLevel for slog.
func (c Config) Level() slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return slog.LevelInfo
	}
	return level
}

// Validate names everything that is wrong with the configuration as a whole, one
// fault a line; nil when nothing is.
func (c Config) Validate() error {
	faults := []error{
		address("http", c.HTTP, false), address("admin", c.Admin, true), address("nats-listen", c.NATSListen, true),
		c.validateStore(), c.validateGateways(), c.validateRawCards(), c.validatePublicURL(),
		oneOf("log-level", c.LogLevel, "debug", "info", "warn", "error"),
		c.validateNATS(), c.validateTLS(), c.validateDevKey(),
	}
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(c.Data != "", "data: name the folder that holds the ledger")
	check(c.NATSListen == "" || c.NATSURL == "", "nats-listen: there is no embedded server to open when nats-url is given; leave one out")
	check(c.RateLimit >= 0, "rate-limit: %v is below 0; 0 means no limit", c.RateLimit)
	check(c.RateBurst >= 1, "rate-burst: %d is below 1; nothing would be let through", c.RateBurst)
	check(c.MaxMethods >= 1, "max-methods: %d is below 1", c.MaxMethods)
	check(c.WaitTimeout > 0 && c.WaitTimeout <= time.Minute, "wait-timeout: %s is not in (0s, 1m]", c.WaitTimeout)
	check(c.MaxLag >= time.Second && c.MaxLag <= time.Hour, "max-lag: %s is not in [1s, 1h]", c.MaxLag)
	check(c.DrainTimeout > 0 && c.DrainTimeout <= 10*time.Minute, "drain-timeout: %s is not in (0s, 10m]", c.DrainTimeout)
	return errors.Join(faults...)
}

func address(key, value string, mayBeEmpty bool) error {
	if value == "" && mayBeEmpty {
		return nil
	}
	_, port, err := net.SplitHostPort(value)
	if err != nil {
		return fmt.Errorf("%s: %q is not host:port", key, value)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("%s: %q is not a port", key, port)
	}
	return nil
}

func oneOf(key, value string, known ...string) error {
	for _, k := range known {
		if value == k {
			return nil
		}
	}
	return fmt.Errorf("%s: %q is not supported; choose %s", key, value, strings.Join(known, ", "))
}

func (c Config) validateTLS() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("tls-cert, tls-key: give both or neither")
	}
	if c.TLSCert == "" {
		return nil
	}
	if _, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey); err != nil {
		return fmt.Errorf("tls-cert, tls-key: %w", err)
	}
	return nil
}

// devKeyMin is the least length of a dev key, in characters.
const devKeyMin = 30

func (c Config) validateDevKey() error {
	if !c.Dev || c.DevKey == "" {
		return nil
	}
	if !validDevKey(c.DevKey) {
		return fmt.Errorf("dev-key: it must begin with pml_test_ and have %d or more printable characters without spaces", devKeyMin)
	}
	return nil
}

func validDevKey(key string) bool {
	for _, r := range key {
		if r <= ' ' || r > '~' {
			return false
		}
	}
	return strings.HasPrefix(key, "pml_test_") && len(key) >= devKeyMin
}

// exists tells whether there is a file or folder at path.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
