package api

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pmledger/pmledger/domain"
)

// sink is a ResponseWriter that keeps nothing but the status.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

// loaded is a bench as it serves: with a log, metrics, and a real key.
func loaded(b *testing.B) (*bench, string) {
	b.Helper()
	bn := newBench(b, func(o *Options) {
		o.Logger = slog.New(slog.NewJSONHandler(io.Discard, nil))
		o.Registerer = prometheus.NewRegistry()
	})
	return bn, bn.key("acme", domain.ModeTest)
}

func serve(b *testing.B, h http.Handler, key, method, target, body string, want int) {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, reader)
	r.Header["Authorization"] = []string{"Bearer " + key}
	r.Header["Content-Type"] = headerJSON
	w := &sink{header: http.Header{}}
	h.ServeHTTP(w, r)
	if w.status != want {
		b.Fatalf("status %d", w.status)
	}
}

// The handlers alone: no socket, a store in memory. Compare with Static, which is
// an Echo handler that answers bytes of the same size.
func BenchmarkStatic(b *testing.B) {
	e := echo.New()
	body := []byte(strings.Repeat("x", 1000))
	e.GET("/v1/payment-methods/:id", func(c echo.Context) error { return c.Blob(200, "application/json", body) })
	b.ReportAllocs()
	for b.Loop() {
		serve(b, e, "x", "GET", "/v1/payment-methods/pm_1", "", 200)
	}
}

func BenchmarkGet(b *testing.B) {
	bn, key := loaded(b)
	id := idIn(bn.want(201, bn.as(key, "POST", "/v1/customers/c/payment-methods", `{"type":"card","token":"tok_visa"}`)).body)
	b.ReportAllocs()
	for b.Loop() {
		serve(b, bn.handler, key, "GET", "/v1/payment-methods/"+id, "", 200)
	}
}

func BenchmarkList20(b *testing.B) {
	bn, key := loaded(b)
	for i := range 20 {
		bn.want(201, bn.as(key, "POST", "/v1/customers/c/payment-methods", fmt.Sprintf(`{"type":"card","token":"tok_visa_fp_%d"}`, i)))
	}
	b.ReportAllocs()
	for b.Loop() {
		serve(b, bn.handler, key, "GET", "/v1/customers/c/payment-methods", "", 200)
	}
}

func BenchmarkAttach(b *testing.B) {
	bn, key := loaded(b)
	var n atomic.Int64
	b.ReportAllocs()
	for b.Loop() {
		serve(b, bn.handler, key, "POST", fmt.Sprintf("/v1/customers/c%d/payment-methods", n.Add(1)), `{"type":"card","token":"tok_visa","metadata":{"order":"A-17"}}`, 201)
	}
}

func BenchmarkAttachAt64(b *testing.B) {
	bn, key := loaded(b)
	var n atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			serve(b, bn.handler, key, "POST", fmt.Sprintf("/v1/customers/c%d/payment-methods", n.Add(1)), `{"type":"card","token":"tok_visa","metadata":{"order":"A-17"}}`, 201)
		}
	})
}

// overHTTP asks a server over loopback with 16 clients.
func overHTTP(b *testing.B, h http.Handler, key, path string) {
	server := httptest.NewServer(h)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, err := http.NewRequest("GET", server.URL+path, nil)
			if err != nil {
				b.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+key)
			w, err := client.Do(r)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, w.Body); err != nil || w.StatusCode != http.StatusOK {
				b.Fatal(w.StatusCode, err)
			}
			w.Body.Close()
		}
	})
}

func BenchmarkStaticOverHTTP(b *testing.B) {
	e := echo.New()
	body := []byte(strings.Repeat("x", 1000))
	e.GET("/v1/payment-methods/:id", func(c echo.Context) error { return c.Blob(200, "application/json", body) })
	overHTTP(b, e, "x", "/v1/payment-methods/pm_1")
}

func BenchmarkGetOverHTTP(b *testing.B) {
	bn, key := loaded(b)
	id := idIn(bn.want(201, bn.as(key, "POST", "/v1/customers/c/payment-methods", `{"type":"card","token":"tok_visa"}`)).body)
	b.ResetTimer()
	overHTTP(b, bn.handler, key, "/v1/payment-methods/"+id)
}
