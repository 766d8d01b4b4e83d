package main

import (
	"net/http"
	"testing"

	"github.com/nats-io/nats.go"
)

// A card expires today: the test clock makes it, and a consumer hears of it.
func TestWhatIsDueByTheTestClockIsHeardOnNATS(t *testing.T) {
	s := serve(t, t.TempDir())
	messages := make(chan *nats.Msg, 16)
	conn := s.connect()
	if _, err := conn.ChanSubscribe("pm.v1.demo.payment_method.>", messages); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	card := s.attach("cus_1", "tok_visa_exp_2034_12")["id"].(string)
	for _, step := range []struct{ now, event string }{
		{"2034-12-02T00:00:00Z", "payment_method.expiring"}, {"2034-12-25T00:00:00Z", "payment_method.expiring"},
		{"2035-01-01T00:00:00Z", "payment_method.expired"},
	} {
		s.call(http.StatusOK, http.MethodPost, "/v1/test-clock", `{"now":"`+step.now+`"}`)
		if m := next(t, messages); m.Subject != "pm.v1.demo."+step.event || m.Header["ce-subject"][0] != card || m.Header["ce-time"][0][:10] != step.now[:10] {
			t.Errorf("at %s: %s %v", step.now, m.Subject, m.Header)
		}
	}
	if m := s.get("/v1/payment-methods/" + card).json(t); m["status"] != "expired" || m["is_default"] != true {
		t.Errorf("got %v", m)
	}
}

// What was begun at a gateway before a kill comes to its end after it, once.
func TestWorkAtAGatewayOutlivesAKill(t *testing.T) {
	s := serve(t, t.TempDir())
	card := s.attach("cus_1", "tok_visa_lost")["id"].(string)
	s.call(http.StatusAccepted, http.MethodPost, "/v1/payment-methods/"+card+"/verify", "", "Idempotency-Key", "v")
	gone := s.attach("cus_2", "tok_visa")["id"].(string)
	s.call(http.StatusOK, http.MethodDelete, "/v1/payment-methods/"+gone, "")
	s.kill()
	again := serve(t, s.dir)
	again.await("the card is verified", func() bool {
		return again.get("/v1/payment-methods/" + card).json(t)["verified"] == true
	})
	again.call(http.StatusOK, http.MethodPost, "/v1/payment-methods/"+card+"/verify", "", "Idempotency-Key", "v")
	counts := map[string]int{}
	for _, e := range again.get("/v1/payment-methods/" + card + "/history").json(t)["data"].([]any) {
		counts[e.(map[string]any)["type"].(string)]++
	}
	if counts["payment_method.verification_started"] != 1 || counts["payment_method.verified"] != 1 {
		t.Errorf("got %v", counts)
	}
}
