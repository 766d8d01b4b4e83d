package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pmledger/pmledger/cmd/bench/baseline"
)

// startBaseline serves B on a PostgreSQL server of its own.
func startBaseline(t *testing.T) *system {
	t.Helper()
	if _, err := postgresPrograms(); err != nil {
		t.Skip(err)
	}
	dir, err := os.MkdirTemp("", "pmledger-bench-*") // t.TempDir lies where the user postgres cannot enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	pg, err := startPostgres(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.stop(); err != nil {
			t.Error(err)
		}
	})
	ctx, stop := context.WithCancel(context.Background())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- baseline.Serve(ctx, baseline.Options{Postgres: pg.address, Dir: filepath.Join(dir, "b"), Organization: "demo", Key: benchKey}, w)
		w.Close()
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address, nats, _ := strings.Cut(strings.TrimSpace(line), " ")
	return &system{target: target{address: address, settled: lagging(address)}, nats: nats, run: "b"}
}

// defaults counts the default methods of a customer.
func defaults(t *testing.T, c *client, customer string) (methods, ofThem int) {
	t.Helper()
	if err := c.expect(t.Context(), getRequest("/v1/customers/"+customer+"/payment-methods?limit=100", `"object":"list"`), 200); err != nil {
		t.Fatal(err)
	}
	var list struct {
		Data []struct {
			IsDefault bool `json:"is_default"`
		}
	}
	if err := json.Unmarshal(c.body.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	for _, m := range list.Data {
		if m.IsDefault {
			ofThem++
		}
	}
	return len(list.Data), ofThem
}

// B is only worth comparing with when it keeps the rules that pmledger keeps.
func TestTheBaselineKeepsTheRules(t *testing.T) {
	s := startBaseline(t)
	c := dial(s.address)
	defer c.close()
	conn, arrived, err := listen(s.nats, "pm.v1.demo.>")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	expect := func(r request, status int) {
		t.Helper()
		if err := c.expect(t.Context(), r, status); err != nil {
			t.Error(err)
		}
	}
	first := cardRequest("cus", "tok_visa", "key")
	expect(first, 201)
	again := first
	again.replay = true
	expect(again, 201)
	other := cardRequest("cus", "tok_mastercard", "key")
	other.want = "another request"
	expect(other, 422)
	expect(cardRequest("cus", "tok_visa", "another key"), 200) // the same card
	expect(cardRequest("cus", "tok_mastercard", ""), 201)
	declined := cardRequest("cus", "tok_visa_declined", "")
	declined.want = ""
	expect(declined, 422)
	if methods, ofThem := defaults(t, c, "cus"); methods != 2 || ofThem != 1 {
		t.Errorf("%d methods, %d of them default; want 2 and 1", methods, ofThem)
	}
	for range 3 { // attached and made the default; attached
		if _, err := next(t.Context(), arrived); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-arrived:
		t.Error("a fourth message arrived")
	case <-time.After(50 * time.Millisecond):
	}
}

func TestTheBaselineHasOneDefaultWhateverRaces(t *testing.T) {
	s := startBaseline(t)
	const customers, each = 8, 12
	var wg sync.WaitGroup
	for n := range customers * each {
		wg.Go(func() {
			c := dial(s.address)
			defer c.close()
			customer := "cus_" + strconv.Itoa(n%customers)
			if err := c.expect(t.Context(), cardRequest(customer, fmt.Sprintf("tok_visa_fp_%d", n), ""), 201); err != nil {
				t.Error(err)
				return
			}
			var method struct{ ID string }
			if err := json.Unmarshal(c.body.Bytes(), &method); err != nil {
				t.Error(err)
				return
			}
			change := request{method: "PATCH", path: "/v1/payment-methods/" + method.ID, body: `{"is_default":true}`, want: `"is_default":true`}
			if err := c.expect(t.Context(), change, 200); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	c := dial(s.address)
	defer c.close()
	for n := range customers {
		if methods, ofThem := defaults(t, c, "cus_"+strconv.Itoa(n)); methods != each || ofThem != 1 {
			t.Errorf("customer %d has %d methods, %d of them default; want %d and 1", n, methods, ofThem, each)
		}
	}
	if err := s.settled(t.Context()); err != nil {
		t.Error(err)
	}
}
