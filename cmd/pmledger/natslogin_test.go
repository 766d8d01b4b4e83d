package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/pmledger/pmledger/projections/publisher"
)

// natsWith starts an external NATS server with lines of its own configuration.
func natsWith(t *testing.T, config string) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}
	if config == "" {
		return runNATS(t, o)
	}
	if err := o.ProcessConfigString(config); err != nil {
		t.Fatal(err)
	}
	return runNATS(t, o)
}

// private writes a file that only its owner can read.
func private(t *testing.T, name string, text []byte) string {
	t.Helper()
	return write(t, name, string(text))
}

// keyPair makes an NKey of a kind and returns its public key and its seed.
func keyPair(t *testing.T, create func() (nkeys.KeyPair, error)) (pair nkeys.KeyPair, public string, seed []byte) {
	t.Helper()
	pair, err := create()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	if seed, err = pair.Seed(); err != nil {
		t.Fatal(err)
	}
	return pair, public, seed
}

// operatorMode makes an operator with one account, and returns the server's
// configuration and the content of a credentials file of a user with the least
// permissions.
func operatorMode(t *testing.T) (config string, creds []byte) {
	t.Helper()
	operator, operatorKey, _ := keyPair(t, nkeys.CreateOperator)
	account, accountKey, _ := keyPair(t, nkeys.CreateAccount)
	_, systemKey, _ := keyPair(t, nkeys.CreateAccount)
	_, userKey, seed := keyPair(t, nkeys.CreateUser)
	encode := func(text string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	of := jwt.NewOperatorClaims(operatorKey)
	of.SystemAccount = systemKey
	claims := jwt.NewAccountClaims(accountKey)
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	user := jwt.NewUserClaims(userKey)
	p := publisher.PublisherPermissions()
	user.Pub.Allow, user.Sub.Allow = p.Publish.Allow, p.Subscribe.Allow
	config = fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload { %s: %s\n%s: %s }\n",
		encode(of.Encode(operator)), systemKey,
		accountKey, encode(claims.Encode(operator)), systemKey, encode(jwt.NewAccountClaims(systemKey).Encode(operator)))
	creds, err := jwt.FormatUserConfig(encode(user.Encode(account)), seed)
	if err != nil {
		t.Fatal(err)
	}
	return config, creds
}

// Every way to log in, against a server that asks for it, with the least permissions
// that doctor and the publisher need.
func TestEveryWayToLogInToNATS(t *testing.T) {
	cert, key, _ := certificate(t)
	tls := fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }\n", cert, key, cert)
	_, userKey, seed := keyPair(t, nkeys.CreateUser)
	operator, creds := operatorMode(t)
	least := publisher.PublisherPermissions().User("pmledger")
	user := "authorization { users: [" + strings.Replace(least, "…", "right-secret", 1) + "] }\n"
	seeded := strings.Replace(least, `user: "pmledger", password: "…"`, "nkey: "+userKey, 1)
	password := private(t, "password", []byte("right-secret\n"))
	for name, c := range map[string]struct {
		config string
		flags  []string
		inURL  string
	}{
		"password in a file":            {user, []string{"--nats-user", "pmledger", "--nats-password-file", password}, ""},
		"password in the URL":           {user, nil, "pmledger:right-secret@"},
		"token in a file":               {`authorization { token: "right-secret" }`, []string{"--nats-token-file", password}, ""},
		"token in the URL":              {`authorization { token: "right-secret" }`, nil, "right-secret@"},
		"nkey":                          {"authorization { users: [" + seeded + "] }", []string{"--nats-nkey", private(t, "seed", seed)}, ""},
		"credentials":                   {operator, []string{"--nats-creds", private(t, "user.creds", creds)}, ""},
		"TLS with a client certificate": {tls, []string{"--nats-ca", cert, "--nats-cert", cert, "--nats-key", key}, ""},
		"TLS and a password":            {tls + user, []string{"--nats-ca", cert, "--nats-cert", cert, "--nats-key", key, "--nats-user", "pmledger", "--nats-password-file", password}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := natsWith(t, c.config)
			flags := append([]string{"--nats-url", "nats://" + c.inURL + n.Addr().String()}, c.flags...)
			dir := t.TempDir()
			code, out, talk := offline(dir, append([]string{"doctor"}, flags...)...)
			if code != exitOK || !strings.Contains(out, "may do what publishing needs") || strings.Contains(out, "fail  ") {
				t.Fatalf("doctor: exit code %d\n%s%s", code, out, talk)
			}
			s := serve(t, dir, flags...)
			s.attach("cus_1", "tok_visa")
			s.await("both events are in the stream", func() bool { return messagesIn(n) == 2 })
			check := s.natsCheck()
			if !check.OK {
				t.Errorf("/readyz says %+v", check)
			}
			if said := s.log() + out + talk; strings.Contains(said, "right-secret") || bytes.Contains([]byte(said), seed) {
				t.Errorf("a secret is in what it says:\n%s", said)
			}
		})
	}
}

// messagesIn asks the server itself, past all permissions.
func messagesIn(n *server.Server) (count uint64) {
	info, err := n.Jsz(&server.JSzOptions{Streams: true, Accounts: true})
	if err != nil {
		return 0
	}
	for _, account := range info.AccountDetails {
		for _, stream := range account.Streams {
			if stream.Name == publisher.StreamName {
				count += stream.State.Msgs
			}
		}
	}
	return count
}

// readyCheck is one check of /readyz.
type readyCheck struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

func (s *instance) natsCheck() (found readyCheck) {
	s.t.Helper()
	var body struct {
		Checks []readyCheck `json:"checks"`
	}
	if err := json.Unmarshal(s.get("/readyz").body, &body); err != nil {
		s.t.Fatal(err)
	}
	for _, c := range body.Checks {
		if c.Name == "nats" {
			found = c
		}
	}
	return found
}

// A wrong password is told in the log and in /readyz; the API serves; and when the
// file has the right one, what was written meanwhile is published.
func TestAWrongPasswordIsToldAndMayBeMended(t *testing.T) {
	t.Parallel()
	n := natsWith(t, `authorization { users: [{ user: pmledger, password: "right-secret" }] }`)
	file := private(t, "password", []byte("wrong-secret\n"))
	dir := t.TempDir()
	flags := []string{"--nats-url", n.ClientURL(), "--nats-user", "pmledger", "--nats-password-file", file}
	if code, out, _ := offline(dir, append([]string{"doctor"}, flags...)...); code != exitFailure || !strings.Contains(out, "refuses the credentials") || strings.Contains(out, "wrong-secret") {
		t.Errorf("doctor: exit code %d: %s", code, out)
	}
	s := serve(t, dir, flags...)
	s.attach("cus_1", "tok_visa")
	s.await("/readyz tells", func() bool {
		check := s.natsCheck()
		return !check.OK && strings.Contains(check.Detail, "refuses the credentials")
	})
	if s.status("/readyz") != http.StatusOK || !strings.Contains(s.log(), "refuses the credentials") || strings.Contains(s.log(), "wrong-secret") {
		t.Errorf("/readyz %d, log:\n%s", s.status("/readyz"), s.log())
	}
	if err := os.WriteFile(file, []byte("right-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.await("published with the right password", func() bool { return messagesIn(n) == 2 })
	s.await("/readyz is content", func() bool { return s.natsCheck().OK })
}

// A stream that is not fit stops the start and says all of why.
func TestAnUnfitStreamStopsTheStart(t *testing.T) {
	t.Parallel()
	n := natsWith(t, "")
	conn, err := nats.Connect(n.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: publisher.StreamName, Subjects: []string{"orders.>"}, MaxAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
	s := launch(t, t.TempDir(), "--dev", "--nats-url", n.ClientURL())
	if code := s.exitCode(); code != exitFailure {
		t.Errorf("exit code %d", code)
	}
	for _, fault := range []string{"listens on [orders.>]", "max_age of 1h0m0s", "another NATS account"} {
		if !strings.Contains(s.log(), fault) {
			t.Errorf("it does not say %q:\n%s", fault, s.log())
		}
	}
}

func TestConsumersAreAdministeredFromTheCommandLine(t *testing.T) {
	t.Parallel()
	_, accounts, _ := offline("", "nats", "accounts")
	_, reader, _ := offline("", "nats", "consumer", "permissions", "demo", "--name", "mails")
	config := strings.ReplaceAll(strings.Replace(accounts, "# one for each", reader+"\n# one for each", 1), "…", "p")
	n := natsWith(t, config)
	as := func(user string) string { return "nats://" + user + ":p@" + n.Addr().String() }
	dir := t.TempDir()
	if code, _, talk := offline(dir, "nats", "consumer", "add", "demo", "--nats-url", as("admin")); code != exitFailure || !strings.Contains(talk, "not there yet") {
		t.Errorf("before there is a stream: %d %s", code, talk)
	}
	s := serve(t, dir, "--nats-url", as("publisher"))
	s.attach("cus_1", "tok_visa")
	s.await("published", func() bool { return messagesIn(n) == 2 })
	add := []string{"nats", "consumer", "add", "demo", "--name", "mails", "--filter", "customer.payment_method_attached", "--nats-url", as("admin")}
	for range 2 {
		if code, _, talk := offline(dir, add...); code != exitOK {
			t.Fatalf("exit code %d: %s", code, talk)
		}
	}
	if code, _, talk := offline(dir, append(add, "--filter", "payment_method.*")...); code != exitFailure || !strings.Contains(talk, "--change") {
		t.Errorf("with other settings: %d %s", code, talk)
	}
	began := time.Now()
	if code, _, talk := offline(dir, "nats", "consumer", "list", "--nats-url", as("publisher")); code != exitFailure || !strings.Contains(talk, "ermissions") || time.Since(began) > adminTimeout/2 {
		t.Errorf("as the publisher: %d after %s: %s", code, time.Since(began), talk)
	}
	code, out, _ := offline(dir, "nats", "consumer", "list", "--json", "--nats-url", as("admin"))
	var list []shownConsumer
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != exitOK || len(list) != 1 || list[0].Name != "demo+mails" || list[0].Organization != "demo" || list[0].Pending != 1 {
		t.Errorf("list: %d %s", code, out)
	}
	conn, err := nats.Connect("nats://"+n.Addr().String(), nats.UserInfo("demo+mails", "p"), nats.CustomInboxPrefix(publisher.InboxPrefix("demo")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m, err := conn.Request("$JS.API.CONSUMER.MSG.NEXT.PM_EVENTS.demo+mails", []byte(`{"batch":1,"no_wait":true}`), 5*time.Second)
	if err != nil || m.Header.Get("ce-type") != "customer.payment_method_attached" {
		t.Errorf("the reader gets %v, %v", m, err)
	}
	for i, want := range []int{exitOK, exitFailure} {
		if code, _, talk := offline(dir, "nats", "consumer", "rm", "demo", "--name", "mails", "--nats-url", as("admin")); code != want {
			t.Errorf("rm %d: %d %s", i, code, talk)
		}
	}
}

func TestOptionsOfNATSThatContradictEachOtherAreNamed(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text, empty := file("text", "no-key-of-any-kind-hunter2"), file("empty", "\n")
	for name, c := range map[string]struct {
		args   []string
		faults []string
	}{
		"without a server": {[]string{"--nats-creds", text, "--nats-ca", text, "--nats-replicas", "3"}, []string{"nats-creds, nats-ca, nats-replicas: used with nats-url only"}},
		"several logins": {[]string{"--nats-url", "nats://u:hunter2@h:1", "--nats-token-file", text, "--nats-user", "u", "--nats-password-file", text},
			[]string{"nats-url (its user), nats-user, nats-token-file: these are several ways"}},
		"halves":                {[]string{"--nats-url", "nats://h:1", "--nats-user", "u", "--nats-cert", text}, []string{"nats-user: name the file", "nats-cert, nats-key: give both"}},
		"a password for nobody": {[]string{"--nats-url", "nats://h:1", "--nats-password-file", text}, []string{"nats-password-file: name the user"}},
		"files that are not what they should be": {[]string{"--nats-url", "nats://h:1", "--nats-creds", text, "--nats-ca", text, "--nats-cert", text, "--nats-key", text},
			[]string{"nats-creds: " + text, "nats-ca: " + text, "nats-cert, nats-key: "}},
		"a seed that is none":   {[]string{"--nats-url", "nats://h:1", "--nats-nkey", text}, []string{"nats-nkey: " + text}},
		"empty":                 {[]string{"--nats-url", "nats://h:1", "--nats-token-file", empty}, []string{"nats-token-file: " + empty + ": it is empty"}},
		"missing":               {[]string{"--nats-url", "nats://h:1", "--nats-token-file", dir + "/none"}, []string{"nats-token-file: " + dir + "/none"}},
		"too many replicas":     {[]string{"--nats-url", "nats://h:1", "--nats-replicas", "6"}, []string{"nats-replicas: 6 is not in 0 to 5"}},
		"two kinds of address":  {[]string{"--nats-url", "nats://h:1,wss://h:2"}, []string{"do not mix"}},
		"a scheme cut in half":  {[]string{"--nats-url", "s://h:1"}, []string{"nats-url: not an address"}},
		"an address of nothing": {[]string{"--nats-url", "nats://h:1,"}, []string{"nats-url: not an address"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, nil, c.args...)
			if err == nil {
				t.Fatal("it was accepted")
			}
			if lines := strings.Count(err.Error(), "\n"); lines != len(c.faults) {
				t.Errorf("%d faults, want %d", lines, len(c.faults))
			}
			for _, want := range c.faults {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no line says %q", want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("a secret is in it")
			}
			if t.Failed() {
				t.Log(err)
			}
		})
	}
}
