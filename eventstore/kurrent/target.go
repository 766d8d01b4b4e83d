package kurrent

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	single      = "esdb://"
	discovering = "esdb+discover://"
	defaultPort = "2113"
)

// target is a connection string taken apart.
type target struct {
	hosts    []string // host:port
	discover bool     // hosts are asked who the leader is
	tls      *tls.Config
	user     string
	password string
	deadline time.Duration // 0: not given

	gossipTimeout     time.Duration
	keepAliveInterval time.Duration // < 0: never
	keepAliveTimeout  time.Duration
}

// settings are the names that may follow the "?" of a connection string, in
// lower case. Those without a place here are accepted and not used: discovery
// never gives up, and its pauses are bounded by Options.Gap.
var settings = map[string]func(*draft, string) error{
	"tls":                 func(d *draft, v string) error { return parseBool(v, &d.tls) },
	"tlsverifycert":       func(d *draft, v string) error { return parseBool(v, &d.verify) },
	"tlscafile":           func(d *draft, v string) error { d.caFile = v; return nil },
	"usercertfile":        func(d *draft, v string) error { d.certFile = v; return nil },
	"userkeyfile":         func(d *draft, v string) error { d.keyFile = v; return nil },
	"nodepreference":      func(_ *draft, v string) error { return parsePreference(v) },
	"gossiptimeout":       func(d *draft, v string) error { return parseDuration(v, time.Second, &d.t.gossipTimeout) },
	"keepaliveinterval":   func(d *draft, v string) error { return parseKeepAlive(v, &d.t.keepAliveInterval) },
	"keepalivetimeout":    func(d *draft, v string) error { return parseKeepAlive(v, &d.t.keepAliveTimeout) },
	"defaultdeadline":     func(d *draft, v string) error { return parseDuration(v, time.Millisecond, &d.t.deadline) },
	"discoveryinterval":   func(_ *draft, v string) error { var n time.Duration; return parseDuration(v, time.Millisecond, &n) },
	"maxdiscoverattempts": func(_ *draft, v string) error { var n time.Duration; return parseDuration(v, 1, &n) },
	"connectionname":      func(*draft, string) error { return nil },
}

// draft is a target while its string is read.
type draft struct {
	t                         *target
	tls, verify               bool
	caFile, certFile, keyFile string
	faults                    []error
}

func (d *draft) fault(format string, args ...any) {
	d.faults = append(d.faults, fmt.Errorf(format, args...))
}

// Check reads a connection string and the files it names, and returns every fault.
// Its errors show no user, no password and no unknown setting's value.
func Check(connectionString string) error {
	_, err := parseTarget(connectionString)
	return err
}

// parseTarget reads esdb://[user:password@]host[:port][,host…][?setting=value&…].
// Names of settings are read in any case, as the clients of the server do.
func parseTarget(connectionString string) (*target, error) {
	d := draft{tls: true, verify: true, t: &target{
		gossipTimeout: 2 * time.Second, keepAliveInterval: 10 * time.Second, keepAliveTimeout: 10 * time.Second,
	}}
	scheme, userinfo, hosts, query := split(connectionString)
	if scheme == "" {
		return nil, fmt.Errorf("a connection string begins with %s or %s", single, discovering)
	}
	d.readUser(userinfo)
	d.readHosts(hosts)
	d.t.discover = scheme == discovering || len(d.t.hosts) > 1
	d.readSettings(query)
	d.secure()
	if len(d.faults) > 0 {
		return nil, fmt.Errorf("connection string: %w", errors.Join(d.faults...))
	}
	return d.t, nil
}

// split takes a connection string apart. The last @ before the settings ends the
// credentials, which may hold an @ themselves.
func split(s string) (scheme, userinfo, hosts, query string) {
	for _, prefix := range []string{single, discovering} {
		if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
			scheme, s = prefix, s[len(prefix):]
		}
	}
	if scheme == "" {
		return "", "", "", ""
	}
	from := strings.LastIndexByte(s, '@') + 1
	userinfo = s[:from]
	hosts, query, _ = strings.Cut(s[from:], "?")
	return scheme, userinfo, strings.TrimSuffix(hosts, "/"), query
}

func (d *draft) readUser(userinfo string) {
	if userinfo == "" {
		return
	}
	user, password, _ := strings.Cut(strings.TrimSuffix(userinfo, "@"), ":")
	var bad [2]error
	d.t.user, bad[0] = url.PathUnescape(user)
	d.t.password, bad[1] = url.PathUnescape(password)
	if bad[0] != nil || bad[1] != nil {
		d.fault("user or password holds a %% that begins no percent-encoding")
	}
	if strings.ContainsAny(userinfo, "/?#") {
		d.fault("user or password holds /, ? or #: write them percent-encoded")
	}
	if user == "" {
		d.fault("there is a password without a user")
	}
}

func (d *draft) readHosts(hosts string) {
	if hosts == "" {
		d.fault("it names no host")
		return
	}
	for i, host := range strings.Split(hosts, ",") {
		address, err := withPort(host)
		if err != nil {
			d.fault("host %d: %w", i+1, err)
		}
		d.t.hosts = append(d.t.hosts, address)
	}
}

func withPort(host string) (string, error) {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port, err = net.SplitHostPort(host + ":" + defaultPort)
	}
	n, bad := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || name == "" || strings.ContainsAny(name, "/?#@ \t"):
		return "", errors.New("it is no host name or host:port")
	case bad != nil || n == 0:
		return "", errors.New("its port is no number from 1 to 65535")
	}
	return net.JoinHostPort(name, port), nil
}

func (d *draft) readSettings(query string) {
	values, err := url.ParseQuery(query)
	if err != nil {
		d.fault("its settings are not name=value&name=value")
	}
	seen := map[string]bool{}
	for _, name := range sortedKeys(values) {
		lower := strings.ToLower(name)
		read, known := settings[lower]
		switch {
		case !known:
			d.fault("there is no setting %q", name)
			continue
		case seen[lower] || len(values[name]) > 1:
			d.fault("%s is given more than once", name)
			continue
		}
		seen[lower] = true
		if err := read(d, values[name][0]); err != nil {
			d.fault("%s: %w", name, err)
		}
	}
}

func sortedKeys(values url.Values) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// secure reads the files of certificates. Without TLS nothing secret is sent, and
// whoever gave something secret is told so.
func (d *draft) secure() {
	if !d.tls {
		if d.t.user != "" {
			d.fault("user and password are sent over TLS only: take tls=false or them away")
		}
		if cmp.Or(d.caFile, d.certFile, d.keyFile) != "" {
			d.fault("tlsCaFile, userCertFile and userKeyFile mean nothing with tls=false")
		}
		return
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: !d.verify}
	if d.caFile != "" {
		pem, err := os.ReadFile(d.caFile)
		c.RootCAs = x509.NewCertPool()
		if err != nil {
			d.fault("tlsCaFile: %w", err)
		} else if !c.RootCAs.AppendCertsFromPEM(pem) {
			d.fault("tlsCaFile: %s holds no certificate in PEM form", d.caFile)
		}
	}
	switch {
	case (d.certFile == "") != (d.keyFile == ""):
		d.fault("userCertFile and userKeyFile belong together")
	case d.certFile != "":
		pair, err := tls.LoadX509KeyPair(d.certFile, d.keyFile)
		if err != nil {
			d.fault("userCertFile, userKeyFile: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	d.t.tls = c
}

func parseBool(v string, to *bool) error {
	b, err := strconv.ParseBool(strings.ToLower(v))
	if err != nil {
		return errors.New("it is neither true nor false")
	}
	*to = b
	return nil
}

func parseDuration(v string, unit time.Duration, to *time.Duration) error {
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n < 1 {
		return errors.New("it is no number from 1 on")
	}
	*to = time.Duration(n) * unit
	return nil
}

// parseKeepAlive reads milliseconds, or -1 for never.
func parseKeepAlive(v string, to *time.Duration) error {
	if v == "-1" {
		*to = -1
		return nil
	}
	return parseDuration(v, time.Millisecond, to)
}

func parsePreference(v string) error {
	if !strings.EqualFold(v, "leader") {
		return errors.New("only leader is possible: commands are decided there")
	}
	return nil
}

// Redact is a connection string to be shown: without password, and without
// whatever could not be understood.
func Redact(connectionString string) string {
	scheme, userinfo, hosts, query := split(connectionString)
	if scheme == "" {
		return "***"
	}
	shown := scheme
	if user, _, both := strings.Cut(userinfo, ":"); both && !strings.ContainsAny(userinfo, "/?#") {
		shown += user + ":***@"
	} else if userinfo != "" {
		shown += "***@"
	}
	for i, host := range strings.Split(hosts, ",") {
		if _, err := withPort(host); err != nil {
			host = "***"
		}
		if i > 0 {
			shown += ","
		}
		shown += host
	}
	if query == "" {
		return shown
	}
	var rest []string
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if settings[strings.ToLower(name)] == nil {
			pair = "***"
		}
		rest = append(rest, pair)
	}
	return shown + "?" + strings.Join(rest, "&")
}
