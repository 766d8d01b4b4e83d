package kurrent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestConnectionStringsAreReadAsTheServersClientsDo(t *testing.T) {
	for in, want := range map[string]target{
		"esdb://db?tls=false":                                          {hosts: []string{"db:2113"}},
		"ESDB://db:1113/?TLS=False":                                    {hosts: []string{"db:1113"}},
		"esdb+discover://db?tls=false":                                 {hosts: []string{"db:2113"}, discover: true},
		"esdb://a:1,b,c:3?tls=false":                                   {hosts: []string{"a:1", "b:2113", "c:3"}, discover: true},
		"esdb://[::1]:9?tls=false":                                     {hosts: []string{"[::1]:9"}},
		"esdb://us%40er:p%3Aw%2F@db":                                   {hosts: []string{"db:2113"}, user: "us@er", password: "p:w/"},
		"esdb://db?tls=false&defaultDeadline=1500":                     {hosts: []string{"db:2113"}, deadline: 1500 * time.Millisecond},
		"esdb://db?tls=false&nodePreference=Leader&gossipTimeout=3":    {hosts: []string{"db:2113"}, gossipTimeout: 3 * time.Second},
		"esdb://db?tls=false&keepAliveInterval=-1&connectionName=x":    {hosts: []string{"db:2113"}, keepAliveInterval: -1},
		"esdb://db?tls=false&maxDiscoverAttempts=9&tlsVerifyCert=true": {hosts: []string{"db:2113"}},
	} {
		got, err := parseTarget(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if strings.Join(got.hosts, " ") != strings.Join(want.hosts, " ") || got.discover != want.discover {
			t.Errorf("%s: hosts %v, discover %v", in, got.hosts, got.discover)
		}
		if got.user != want.user || got.password != want.password || got.deadline != want.deadline {
			t.Errorf("%s: user %q, password %q, deadline %s", in, got.user, got.password, got.deadline)
		}
		if want.gossipTimeout != 0 && got.gossipTimeout != want.gossipTimeout || want.keepAliveInterval != 0 && got.keepAliveInterval != want.keepAliveInterval {
			t.Errorf("%s: gossip %s, keep-alive %s", in, got.gossipTimeout, got.keepAliveInterval)
		}
		if (got.tls == nil) != strings.Contains(strings.ToLower(in), "tls=false") {
			t.Errorf("%s: TLS is wrong", in)
		}
	}
}

// secret is a password that must not be seen in any error.
const secret = "s3cr3t"

func TestEveryFaultOfAConnectionStringIsNamed(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string][]string{
		"http://u:" + secret + "@db":           {"begins with esdb://"},
		"":                                     {"begins with esdb://"},
		"esdb://":                              {"names no host"},
		"esdb://u:" + secret + "@":             {"names no host"},
		"esdb://admin:" + secret:               {"host 1: its port"},
		"esdb://u:" + secret + "@db:0,:2,d b":  {"host 1: its port", "host 2: it is no host name", "host 3: it is no host name"},
		"esdb://u:" + secret + "@db?tls=false": {"over TLS only"},
		"esdb://:" + secret + "@db":            {"without a user"},
		"esdb://u:" + secret + "%zz@db":        {"percent-encoding"},
		"esdb://u:" + secret + "/x@db":         {"/, ? or #"},
		"esdb://db?tls=maybe&tlsVerifyCert=2&colour=" + secret:     {"tls: it is neither", "tlsVerifyCert: it is neither", `no setting "colour"`},
		"esdb://db?nodePreference=follower":                        {"nodePreference: only leader"},
		"esdb://db?gossipTimeout=0&defaultDeadline=x":              {"gossipTimeout: it is no number", "defaultDeadline: it is no number"},
		"esdb://db?tls=true&TLS=true":                              {"more than once"},
		"esdb://db?userCertFile=/nowhere/c":                        {"belong together"},
		"esdb://db?userCertFile=/nowhere/c&userKeyFile=/nowhere/k": {"userCertFile, userKeyFile: open /nowhere/c"},
		"esdb://db?tlsCaFile=/nowhere/ca":                          {"tlsCaFile: open /nowhere/ca"},
		"esdb://db?tlsCaFile=" + empty:                             {"no certificate in PEM form"},
		"esdb://db?tls=false&tlsCaFile=" + empty:                   {"mean nothing"},
		"esdb://db?;":                                              {"name=value"},
	} {
		err := Check(in)
		if err == nil {
			t.Errorf("%s: accepted", in)
			continue
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error does not say %q: %v", in, part, err)
			}
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error shows the password: %v", in, err)
		}
	}
}

func TestRedactedConnectionStringsShowNoSecret(t *testing.T) {
	for in, want := range map[string]string{
		"esdb://admin:" + secret + "@db:2113,e?tls=true":  "esdb://admin:***@db:2113,e?tls=true",
		"esdb+discover://db?tls=false&tlsCaFile=/a/b":     "esdb+discover://db?tls=false&tlsCaFile=/a/b",
		"esdb://u:p@" + secret + "?" + secret + "@db?tls": "esdb://***@db?tls",
		"esdb://" + secret + "@db":                        "esdb://***@db",
		"esdb://admin:" + secret:                          "esdb://***",
		"esdb://db?password=" + secret + "&tls=false":     "esdb://db?***&tls=false",
		"http://admin:" + secret + "@db":                  "***",
	} {
		if got := Redact(in); got != want {
			t.Errorf("%s is shown as %s, want %s", in, got, want)
		}
	}
}
