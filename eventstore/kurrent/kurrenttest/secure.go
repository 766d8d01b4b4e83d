package kurrenttest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// certificate is one for 127.0.0.1 that signs itself, valid for a day.
type certificate struct {
	config *tls.Config
	file   string // in PEM form, for clients
}

func newCertificate() (*certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp("", "kurrenttest-*.pem")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(pem.Encode(f, &pem.Block{Type: "CERTIFICATE", Bytes: der}), f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(f.Name()))
	}
	return &certificate{
		file:   f.Name(),
		config: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
	}, nil
}

func (c *certificate) remove() error { return os.Remove(c.file) }

// CAFile is where clients find the certificate of a server with TLS.
func (s *Server) CAFile() string { return s.certs.file }

// authenticate refuses callers who are not who they say, or who may not do what
// they ask for.
func (s *Server) authenticate(ctx context.Context, all bool) error {
	if len(s.o.Users) == 0 {
		return nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	given := md.Get("authorization")
	if len(given) == 0 {
		return refuse(ctx, codes.PermissionDenied, "Access Denied", "exception", "access-denied")
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(given[0], "Basic "))
	user, password, _ := strings.Cut(string(text), ":")
	if want, known := s.o.Users[user]; err != nil || !known || want != password {
		return refuse(ctx, codes.Unauthenticated, "Unauthenticated", "exception", "not-authenticated")
	}
	if all && s.o.AllReaders != nil && !slices.Contains(s.o.AllReaders, user) {
		return refuse(ctx, codes.PermissionDenied, "Access Denied", "exception", "access-denied")
	}
	return nil
}
