package stripe

import (
	"io"
	"net/http"
	"sync"
	"time"
)

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConns: 64, MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second,
	}
}

// discreet keeps the machine's name and kernel, which the client would add to
// every request, to the machine; and wipes bodies that are secret.
type discreet struct{ next http.RoundTripper }

func (d discreet) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Del("X-Stripe-Client-User-Agent")
	if secret, ok := req.Context().Value(secretKey{}).(*secretBody); ok && req.Body != nil {
		secret.taken = true
		secret.body, req.Body = req.Body, secret
		req.GetBody = nil // no second sending from a wiped buffer
	}
	return d.next.RoundTrip(req)
}

// secretKey is the key of a *secretBody in a request's context.
type secretKey struct{}

// secretBody is a request's body that is wiped when it is closed: a transport may
// still read it after the call has returned, but closes it once it is done.
type secretBody struct {
	text  []byte
	taken bool // a transport will close it

	mu     sync.Mutex
	body   io.ReadCloser
	closed bool
}

func (s *secretBody) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return s.body.Read(p)
}

func (s *secretBody) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	clear(s.text[:cap(s.text)])
	return nil
}

// release wipes a body that no transport was given.
func (s *secretBody) release() {
	if !s.taken {
		s.Close()
	}
}
