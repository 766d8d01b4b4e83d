package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func TestFromAnAttachToAMessage(t *testing.T) {
	s := serve(t, t.TempDir())
	messages := make(chan *nats.Msg, 16)
	conn := s.connect()
	if _, err := conn.ChanSubscribe("pm.v1.demo.>", messages); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}

	attached := s.call(http.StatusCreated, http.MethodPost, "/v1/customers/cus_1/payment-methods",
		`{"type":"card","token":"tok_visa"}`, "Idempotency-Key", "first", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	id := attached.json(t)["id"].(string)
	if attached.header.Get("Location") != "/v1/payment-methods/"+id || attached.header.Get("Etag") == "" || attached.header.Get("Ledger-Position") == "" {
		t.Errorf("headers: %v", attached.header)
	}
	m := next(t, messages)
	event := s.get("/v1/events/" + m.Header.Get("Nats-Msg-Id"))
	if m.Subject != "pm.v1.demo.customer.payment_method_attached" || string(m.Data) != string(event.body) {
		t.Errorf("%s\n%s\nis not the event\n%s", m.Subject, m.Data, event.body)
	}
	for name, want := range map[string]string{
		"ce-specversion": "1.0", "ce-source": "/organizations/demo", "ce-type": "customer.payment_method_attached", "ce-subject": id,
		"ce-datacontenttype": "application/json", "ce-dataschema": "urn:pmledger:schema:v1:customer.payment_method_attached",
		"ce-pmorgseq": "1", "ce-pmprev": "0", "ce-pmorgprev": "0", "ce-id": m.Header.Get("Nats-Msg-Id"),
		"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	} {
		if got := m.Header[name]; len(got) != 1 || got[0] != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
	if m := next(t, messages); m.Subject != "pm.v1.demo.customer.default_payment_method_changed" || m.Header["ce-pmorgseq"][0] != "2" {
		t.Errorf("the second message is %s %v", m.Subject, m.Header)
	}
	for _, path := range []string{"/v1/payment-methods", "/v1/customers/cus_1/payment-methods", "/v1/payment-methods/" + id + "/history", "/v1/events"} {
		if a := s.get(path); !strings.Contains(string(a.body), id) {
			t.Errorf("%s does not show %s: %s", path, id, a.body)
		}
	}

	before := s.get("/v1/payment-methods/" + id)
	s.kill()
	again := serve(t, s.dir)
	after := again.get("/v1/payment-methods/" + id)
	if string(after.body) != string(before.body) || after.header.Get("Etag") != before.header.Get("Etag") {
		t.Errorf("after kill -9:\n%s\nbefore:\n%s", after.body, before.body)
	}
	repeat := again.call(http.StatusCreated, http.MethodPost, "/v1/customers/cus_1/payment-methods",
		`{"type":"card","token":"tok_visa"}`, "Idempotency-Key", "first")
	if repeat.header.Get("Idempotency-Replayed") != "true" || string(repeat.body) != string(attached.body) {
		t.Errorf("the repeat after kill -9 answered %v\n%s", repeat.header, repeat.body)
	}
	again.stream(2)
	if code := again.terminate(); code != exitOK {
		t.Errorf("SIGTERM ended it with %d", code)
	}
}

func next(t *testing.T, messages <-chan *nats.Msg) *nats.Msg {
	t.Helper()
	select {
	case m := <-messages:
		return m
	case <-time.After(patience):
		t.Fatal("no message arrived")
		return nil
	}
}

// someHistory makes every kind of event of this release and returns how many.
func someHistory(s *instance) {
	visa := s.attach("cus_1", "tok_visa")["id"].(string)
	amex := s.attach("cus_1", "tok_amex")["id"].(string)
	s.attach("cus_2", "sepa_de")
	s.attach("cus_2", "ba_us")
	s.attach("cus_3", "paypal_demo")
	s.attach("cus_3", "tok_visa_exp_2020_01")
	s.call(http.StatusOK, http.MethodPost, "/v1/customers/cus_1/payment-methods", `{"type":"card","token":"tok_visa"}`)
	s.call(http.StatusOK, http.MethodPost, "/v1/payment-methods/"+amex+"/default", "")
	s.call(http.StatusOK, http.MethodPatch, "/v1/payment-methods/"+visa, `{"metadata":{"plan":null,"seat":"4"},"external_id":"ext-1"}`)
	s.call(http.StatusOK, http.MethodPatch, "/v1/payment-methods/"+visa, `{"status":"paused"}`)
	s.call(http.StatusOK, http.MethodPatch, "/v1/payment-methods/"+visa, `{"status":"active"}`)
	s.call(http.StatusOK, http.MethodDelete, "/v1/payment-methods/"+amex+"?promote="+visa, "")
	s.call(http.StatusOK, http.MethodPatch, "/v1/organization", `{"default_policy":"latest"}`)
	s.call(http.StatusCreated, http.MethodPost, "/v1/api-keys", `{"scopes":["payment-methods.read"],"name":"reader"}`)
}

// answers are the bodies of every list, method, event and history there is.
func answers(s *instance) map[string]string {
	found := map[string]string{}
	for _, path := range []string{"/v1/payment-methods?limit=100&include_removed=true", "/v1/events?limit=100", "/v1/organization", "/v1/api-keys"} {
		found[path] = string(s.get(path).body)
	}
	for _, list := range []string{"/v1/payment-methods?limit=100&include_removed=true", "/v1/events?limit=100"} {
		for _, item := range s.get(list).json(s.t)["data"].([]any) {
			id := item.(map[string]any)["id"].(string)
			if strings.HasPrefix(id, "evt_") {
				found["/v1/events/"+id] = string(s.get("/v1/events/" + id).body)
				continue
			}
			for _, path := range []string{"/v1/payment-methods/" + id, "/v1/payment-methods/" + id + "/history"} {
				found[path] = string(s.get(path).body)
			}
		}
	}
	return found
}

func events(s *instance) int {
	s.t.Helper()
	list := s.get("/v1/events?limit=100").json(s.t)
	if list["has_more"].(bool) {
		s.t.Fatal("there are more than 100 events")
	}
	return len(list["data"].([]any))
}

func TestTheCopiesAreMadeAgainFromTheLog(t *testing.T) {
	s := serve(t, t.TempDir())
	someHistory(s)
	before, count := answers(s), events(s)
	messages := s.stream(count)
	if code := s.terminate(); code != exitOK {
		t.Fatalf("SIGTERM ended it with %d", code)
	}
	for _, folder := range []string{"views", "nats"} {
		if err := os.RemoveAll(filepath.Join(s.dir, folder)); err != nil {
			t.Fatal(err)
		}
	}
	again := serve(t, s.dir)
	for path, body := range answers(again) {
		if before[path] != body {
			t.Errorf("%s\nbefore: %s\nafter:  %s", path, before[path], body)
		}
	}
	if after := again.stream(count); !reflect.DeepEqual(after, messages) {
		for i := range after {
			if !reflect.DeepEqual(after[i], messages[i]) {
				t.Errorf("message %d\nbefore: %+v\nafter:  %+v", i, messages[i], after[i])
			}
		}
	}
}

func TestASecondServerOnTheFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	first := serve(t, dir)
	second := launch(t, dir, "--dev")
	if code := second.exitCode(); code != exitFailure || !strings.Contains(second.log(), "A running server has the log") {
		t.Errorf("it ended with %d:\n%s", code, second.log())
	}
	code, _, talk := offline(dir, "keys", "list", "--organization", "demo")
	if code != exitFailure || !strings.Contains(talk, "/v1/api-keys") {
		t.Errorf("keys list ended with %d: %s", code, talk)
	}
	first.attach("cus_1", "tok_visa")
}

func TestCopiesAheadOfTheLogAreRefused(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	s.attach("cus_1", "tok_visa")
	s.stream(2)
	s.terminate()
	old := filepath.Join(t.TempDir(), "log")
	if err := os.CopyFS(old, os.DirFS(filepath.Join(dir, "log"))); err != nil {
		t.Fatal(err)
	}
	s = serve(t, dir)
	s.attach("cus_1", "tok_amex")
	s.stream(3)
	s.terminate()

	replace(t, filepath.Join(dir, "log"), old)
	for _, folder := range []string{"views", "nats"} {
		refused := launch(t, dir, "--dev")
		if code := refused.exitCode(); code != exitFailure || !strings.Contains(refused.log(), filepath.Join(dir, folder)) {
			t.Fatalf("with %s ahead it ended with %d:\n%s", folder, code, refused.log())
		}
		if err := os.RemoveAll(filepath.Join(dir, folder)); err != nil {
			t.Fatal(err)
		}
	}
	s = serve(t, dir)
	if got := events(s); got != 2 {
		t.Errorf("%d events after going back, want 2", got)
	}
	s.stream(2)
}

func replace(t *testing.T, path, with string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(path, os.DirFS(with)); err != nil {
		t.Fatal(err)
	}
}

func TestAnotherSecretIsRefused(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir).terminate()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("x", secretSize)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := launch(t, dir, "--dev")
	if code := s.exitCode(); code != exitFailure || !strings.Contains(s.log(), "another secret") {
		t.Errorf("it ended with %d:\n%s", code, s.log())
	}
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	s = launch(t, dir, "--dev")
	if code := s.exitCode(); code != exitFailure || !strings.Contains(s.log(), "restore the file") {
		t.Errorf("without the secret it ended with %d:\n%s", code, s.log())
	}
}

func TestSIGTERMFinishesWhatRuns(t *testing.T) {
	s := serve(t, t.TempDir())
	acknowledged := make(chan string, 1<<16)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			a, err := s.try(http.DefaultClient, http.MethodPost, fmt.Sprintf("/v1/customers/cus_%d/payment-methods", n), `{"type":"card","token":"tok_visa"}`)
			if err != nil || a.status != http.StatusCreated {
				return
			}
			acknowledged <- a.header.Get("Location")
		}
	}()
	s.await("some attaches are acknowledged", func() bool { return len(acknowledged) > 20 })
	if code := s.terminate(); code != exitOK {
		t.Errorf("it ended with %d", code)
	}
	<-done
	close(acknowledged)
	again := serve(t, s.dir)
	var missing []string
	for location := range acknowledged {
		a, err := again.try(http.DefaultClient, http.MethodGet, location, "")
		if err != nil || a.status != http.StatusOK {
			missing = append(missing, location)
		}
	}
	if len(missing) > 0 {
		t.Errorf("acknowledged and missing: %v", slices.Sorted(slices.Values(missing)))
	}
}
