package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate writes a certificate for 127.0.0.1 and its key, and returns their
// files and a pool that trusts it.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) {
		t.Fatal("the certificate cannot be trusted")
	}
	return cert, key, pool
}

func TestWithACertificateTheAPIIsHTTPSOnly(t *testing.T) {
	cert, key, pool := certificate(t)
	s := launch(t, t.TempDir(), "--dev", "--tls-cert", cert, "--tls-key", key)
	select {
	case <-s.ready:
	case <-s.ended:
		t.Fatalf("it ended:\n%s", s.log())
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	client := &http.Client{Transport: transport}
	defer transport.CloseIdleConnections()
	if !strings.HasPrefix(s.http, "https://") {
		t.Errorf("it says it listens on %s", s.http)
	}
	a, err := s.try(client, http.MethodPost, "/v1/customers/cus_1/payment-methods", `{"type":"card","token":"tok_visa"}`)
	if err != nil || a.status != http.StatusCreated {
		t.Errorf("attach: %d, %v", a.status, err)
	}
	s.http = "http://" + strings.TrimPrefix(s.http, "https://")
	if a, err := s.try(http.DefaultClient, http.MethodGet, "/healthz", ""); err == nil && a.status == http.StatusOK {
		t.Error("it answers without TLS, too")
	}
}
