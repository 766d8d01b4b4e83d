package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// ready runs `pmledger ready` and returns its exit code and what it printed.
func ready(args ...string) (code int, out, talk string) {
	var stdout, stderr bytes.Buffer
	p := program{stdout: &stdout, stderr: &stderr, environ: func() []string { return nil }}
	code = p.run(append([]string{"ready"}, args...))
	return code, stdout.String(), stderr.String()
}

func TestReadyAsksTheRunningServer(t *testing.T) {
	s := serve(t, t.TempDir())
	at := strings.TrimPrefix(s.http, "http://")
	if code, out, talk := ready("--http", at); code != exitOK || out != "ready\n" {
		t.Errorf("exit code %d: %s%s", code, out, talk)
	}
	_, port, _ := strings.Cut(at, ":")
	if code, out, talk := ready("--http", "0.0.0.0:"+port, "--json"); code != exitOK || !strings.Contains(out, `"status": "ready"`) {
		t.Errorf("exit code %d: %s%s", code, out, talk)
	}
	s.kill()
	if code, _, talk := ready("--http", at); code != exitFailure || !strings.Contains(talk, "does not answer") {
		t.Errorf("exit code %d: %s", code, talk)
	}
}

func TestReadyOverTLS(t *testing.T) {
	cert, key, _ := certificate(t)
	s := launch(t, t.TempDir(), "--dev", "--tls-cert", cert, "--tls-key", key)
	s.await("it is ready", func() bool {
		select {
		case <-s.ready:
		default:
			return false
		}
		code, _, _ := ready("--http", strings.TrimPrefix(s.http, "https://"), "--tls-cert", cert, "--tls-key", key)
		return code == exitOK
	})
}

func TestReadySaysWhyNot(t *testing.T) {
	answers := map[string]struct {
		code      int
		out, talk string
	}{
		`{"status":"unready","checks":[{"name":"store","ok":true},{"name":"views","ok":false,"detail":"3 s behind"}]}`: {
			exitFailure, "unready\nviews: 3 s behind\n", "the server is not ready",
		},
		`<html>`: {exitFailure, "", "is not answered by pmledger"},
	}
	for body, want := range answers {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, body)
		}))
		code, out, talk := ready("--http", strings.TrimPrefix(s.URL, "http://"))
		s.Close()
		if code != want.code || out != want.out || !strings.Contains(talk, want.talk) {
			t.Errorf("%s: exit code %d, %q, %q", body, code, out, talk)
		}
	}
	if code, _, talk := ready("--http", "127.0.0.1:0"); code != exitUsage {
		t.Errorf("without a port: exit code %d: %s", code, talk)
	}
}
