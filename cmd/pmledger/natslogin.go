package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// validateNATS checks the options of an external NATS: each by itself, then that no
// two of them say different things.
func (c Config) validateNATS() error {
	var faults []error
	fault := func(is bool, format string, args ...any) {
		if is {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	if c.NATSURL == "" {
		var idle []string
		for _, o := range c.natsOptions() {
			if o.value != "" {
				idle = append(idle, o.key)
			}
		}
		fault(len(idle) > 0, "%s: used with nats-url only, and there is none", strings.Join(idle, ", "))
		return errors.Join(faults...)
	}
	ways, err := checkURLs(c.NATSURL)
	faults = append(faults, err)
	for _, o := range c.natsOptions() {
		if o.login && o.value != "" {
			ways = append(ways, o.key)
		}
	}
	fault(len(ways) > 1, "%s: these are several ways to log in to NATS; choose one", strings.Join(ways, ", "))
	fault(c.NATSPasswordFile != "" && c.NATSUser == "", "nats-password-file: name the user with nats-user")
	fault(c.NATSUser != "" && c.NATSPasswordFile == "", "nats-user: name the file of the password with nats-password-file")
	fault((c.NATSCert == "") != (c.NATSKey == ""), "nats-cert, nats-key: give both or neither")
	fault(c.NATSReplicas < 0 || c.NATSReplicas > 5, "nats-replicas: %d is not in 0 to 5", c.NATSReplicas)
	return errors.Join(append(faults, c.validateNATSFiles()...)...)
}

// natsOption is an option that is used with nats-url only.
type natsOption struct {
	key, value string
	login      bool // a way to log in
}

func (c Config) natsOptions() []natsOption {
	replicas := ""
	if c.NATSReplicas != 0 {
		replicas = "set"
	}
	return []natsOption{
		{"nats-user", c.NATSUser, true},
		{"nats-password-file", c.NATSPasswordFile, false},
		{"nats-token-file", c.NATSTokenFile, true},
		{"nats-creds", c.NATSCreds, true},
		{"nats-nkey", c.NATSNkey, true},
		{"nats-ca", c.NATSCA, false},
		{"nats-cert", c.NATSCert, false},
		{"nats-key", c.NATSKey, false},
		{"nats-replicas", replicas, false},
	}
}

// checkURLs checks a list of addresses. It returns what they say about a login, and
// an error that does not repeat them, because they may hold a password.
func checkURLs(list string) (ways []string, err error) {
	web := 0
	urls := strings.Split(list, ",")
	for _, one := range urls {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return nil, errors.New("nats-url: not an address such as nats://host:4222 or tls://host:4222")
		}
		if u.User != nil {
			ways = []string{"nats-url (its user)"}
		}
		if u.Scheme == "ws" || u.Scheme == "wss" {
			web++
		}
	}
	if web > 0 && web < len(urls) {
		return ways, errors.New("nats-url: ws and wss addresses do not mix with others")
	}
	return ways, nil
}

// validateNATSFiles tries what can be tried without a server.
func (c Config) validateNATSFiles() []error {
	var faults []error
	try := func(key, path string, read func() error) {
		if path == "" {
			return
		}
		if err := read(); err != nil {
			faults = append(faults, fmt.Errorf("%s: %s: %w", key, path, err))
		}
	}
	try("nats-password-file", c.NATSPasswordFile, func() error { return secretLine(c.NATSPasswordFile) })
	try("nats-token-file", c.NATSTokenFile, func() error { return secretLine(c.NATSTokenFile) })
	try("nats-creds", c.NATSCreds, func() error { return credentials(c.NATSCreds) })
	try("nats-nkey", c.NATSNkey, func() error { _, err := nats.NkeyOptionFromSeed(c.NATSNkey); return bare(err) })
	try("nats-ca", c.NATSCA, func() error { return bare(nats.RootCAs(c.NATSCA)(&nats.Options{})) })
	if c.NATSCert != "" && c.NATSKey != "" {
		if _, err := tls.LoadX509KeyPair(c.NATSCert, c.NATSKey); err != nil {
			faults = append(faults, fmt.Errorf("nats-cert, nats-key: %w", err))
		}
	}
	return faults
}

// bare takes the client library's name off an error about a file.
func bare(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.TrimPrefix(err.Error(), "nats: "))
}

func secretLine(path string) error {
	text, err := os.ReadFile(path)
	if err == nil && len(trimNewline(text)) == 0 {
		err = errors.New("it is empty")
	}
	return err
}

// credentials reads a file of a JWT and a seed and signs with it, as for a login.
func credentials(path string) error {
	var o nats.Options
	if err := nats.UserCredentials(path)(&o); err != nil {
		return err
	}
	if _, err := o.UserJWT(); err != nil {
		return bare(err)
	}
	_, err := o.SignatureCB([]byte("nonce"))
	return bare(err)
}

// natsLogin are the client options of the external NATS. Files are read when a
// connection is made, so that a changed password or certificate is taken up; only
// the public key of a seed stays as it is.
func (c Config) natsLogin(log *slog.Logger) ([]nats.Option, error) {
	var options []nats.Option
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			log.Warn("a secret for NATS cannot be read", "cause", err)
		}
		return string(trimNewline(text))
	}
	if c.NATSUser != "" {
		options = append(options, nats.UserInfoHandler(func() (string, string) { return c.NATSUser, read(c.NATSPasswordFile) }))
	}
	if c.NATSTokenFile != "" {
		options = append(options, nats.TokenHandler(func() string { return read(c.NATSTokenFile) }))
	}
	if c.NATSCreds != "" {
		options = append(options, nats.UserCredentials(c.NATSCreds))
	}
	if c.NATSNkey != "" {
		nkey, err := nats.NkeyOptionFromSeed(c.NATSNkey)
		if err != nil {
			return nil, fmt.Errorf("nats-nkey: %w", bare(err))
		}
		options = append(options, nkey)
	}
	if c.NATSCA != "" {
		options = append(options, nats.RootCAs(c.NATSCA))
	}
	if c.NATSCert != "" {
		options = append(options, nats.ClientCert(c.NATSCert, c.NATSKey))
	}
	return options, nil
}

// dialBus connects a command to the configured bus, with the credentials that this
// machine has for it: NATS is --nats-url, or else --nats-listen, or else
// 127.0.0.1:4222. The caller closes the connection.
func (p *program) dialBus(s Settings, name string) (*nats.Conn, jetstream.JetStream, error) {
	options, err := s.natsLogin(p.commandLogger(s))
	if err != nil {
		return nil, nil, err
	}
	address := s.NATSURL
	if address == "" {
		address = "nats://127.0.0.1:4222"
		if s.NATSListen != "" {
			address = "nats://" + s.NATSListen
		}
		if exists(s.NATSPasswordPath()) {
			password, err := readOrMake(s.NATSPasswordPath(), nil)
			if err != nil {
				return nil, nil, err
			}
			options = append(options, nats.UserInfo(natsUser, password))
		}
	}
	conn, err := nats.Connect(address, append(options, nats.Name(name), nats.MaxReconnects(-1))...)
	if errors.Is(err, nats.ErrAuthorization) {
		return nil, nil, fmt.Errorf("NATS at %s refuses the credentials: %w", redactURLs(address), err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("no NATS server answers at %s: start the server with --nats-listen, or name the cluster with --nats-url: %w", redactURLs(address), err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, js, nil
}
