package kurrent_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/kurrent"
	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
)

func TestCredentialsAreSentOverTLS(t *testing.T) {
	for nodes := range 3 {
		server := kurrenttest.Start(t, kurrenttest.Options{Nodes: nodes + 1, TLS: true, Users: map[string]string{"pmledger": "p:w/@?"}})
		s := open(t, server.ConnectionString(), kurrent.Options{})
		mustAppend(t, s, stream, 0, records(2))
		f := follow(t, s, 0)
		f.next(t)
		if node, err := s.Node(within(t)); err != nil || node.Time.IsZero() {
			t.Errorf("the node is %+v, error %v", node, err)
		}
	}
}

// Whoever is refused at the start is told why, at once, and without a secret.
func TestRefusedCredentialsEndTheStart(t *testing.T) {
	const password = "s3cr3t-p4ss"
	server := kurrenttest.Start(t, kurrenttest.Options{
		TLS: true, Users: map[string]string{"admin": password, "reader": password}, AllReaders: []string{"admin"},
	})
	good := server.ConnectionStringOf("admin")
	for name, c := range map[string]struct{ at, want string }{
		"wrong password": {strings.Replace(good, password, "wr0ng", 1), "Unauthenticated"},
		"nobody":         {strings.Replace(good, "admin:"+password+"@", "", 1), "$all"},
		"no right":       {server.ConnectionStringOf("reader"), "$all"},
	} {
		var log bytes.Buffer
		s, err := kurrent.Open(within(t), c.at, kurrent.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err == nil {
			t.Errorf("%s: it was opened", name)
			_ = s.Close()
			continue
		}
		if !strings.Contains(err.Error(), c.want) || errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("%s: error %v", name, err)
		}
		if shown := err.Error() + log.String(); strings.Contains(shown, password) || strings.Contains(shown, "wr0ng") {
			t.Errorf("%s: the password is shown: %s", name, shown)
		}
	}
}

// A certificate that nobody vouches for is not trusted, unless that is asked for.
func TestCertificatesAreVerified(t *testing.T) {
	server := kurrenttest.Start(t, kurrenttest.Options{TLS: true})
	at := "esdb://" + server.Node(0).Address()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	s, err := kurrent.Open(ctx, at, kurrent.Options{})
	if err == nil {
		_ = s.Close()
		t.Fatal("it was opened")
	}
	if !errors.Is(err, eventstore.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error %v", err)
	}
	mustAppend(t, open(t, at+"?tlsVerifyCert=false", kurrent.Options{}), stream, 0, records(1))
}
