package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// atOnce runs f for 0..n-1, all started at the same moment, and waits for them.
func atOnce(n int, f func(i int)) {
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range n {
		done.Go(func() {
			start.Wait()
			f(i)
		})
	}
	start.Done()
	done.Wait()
}

func TestTwentyDefaultChangesAtOnceAllSucceed(t *testing.T) {
	b := newBench(t)
	ids := make([]string, 20)
	for i := range ids {
		ids[i] = idIn(b.want(201, b.do("POST", "/v1/customers/cus_1/payment-methods", fmt.Sprintf(`{"type":"card","token":"tok_visa_fp_%d"}`, i))).body)
	}
	answers := make([]answer, 20)
	atOnce(20, func(i int) { answers[i] = b.do("POST", "/v1/payment-methods/"+ids[i]+"/default", "") })
	for _, a := range answers {
		if a.status != 200 || !strings.Contains(a.body, `"is_default":true`) {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	list := b.want(200, b.do("GET", "/v1/customers/cus_1/payment-methods?is_default=true", ""))
	if n := strings.Count(list.body, `"is_default":true`); n != 1 {
		t.Errorf("%d defaults", n)
	}
	changes := b.want(200, b.do("GET", "/v1/events?type=customer.default_payment_method_changed&limit=100", ""))
	var page struct {
		Data []struct{ Data struct{ From, To *string } }
	}
	if err := json.Unmarshal([]byte(changes.body), &page); err != nil {
		t.Fatal(err)
	}
	for i := range len(page.Data) - 1 { // newest first
		if from := page.Data[i].Data.From; from == nil || *from != *page.Data[i+1].Data.To {
			t.Errorf("change %d does not begin where the one before it ended", i)
		}
	}
}
