package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
)

const (
	// readers are the customers whose methods are read; each has listLength, of
	// which every fourth is a bank account.
	readers    = 50
	listLength = 20
	// switchers are the customers whose default changes, one for each client.
	switchers = 64
)

// attachRequest attaches a method to a customer.
func attachRequest(customer, kind, token, key string) request {
	return request{
		method: "POST", path: "/v1/customers/" + customer + "/payment-methods", key: key,
		body: `{"type":"` + kind + `","token":"` + token + `","metadata":{"plan":"gold"}}`,
		want: `"customer_id":"` + customer + `"`,
	}
}

func cardRequest(customer, token, key string) request {
	return attachRequest(customer, "card", token, key)
}

func getRequest(path, want string) request { return request{method: "GET", path: path, want: want} }

// newCustomers makes requests that attach a card to a customer that is new each
// time, with an idempotency key. The numbers of the requests count from 0.
func (s *system) newCustomers(prefix string) func(int, int) request {
	var made atomic.Int64
	return func(int, int) request {
		n := made.Add(1) - 1
		customer := prefix + strconv.FormatInt(n, 10)
		r := cardRequest(customer, "tok_visa", customer)
		r.number = int(n)
		return r
	}
}

// unique is a prefix of names that nobody has used.
func (s *system) unique() string {
	return "cus_" + s.run + "_" + strconv.FormatInt(s.made.Add(1), 36) + "_"
}

func (s *system) attaches() func(int, int) request { return s.newCustomers(s.unique()) }

func (s *system) gets() func(int, int) request {
	return func(client, n int) request {
		id := s.cards[(client*7919+n)%len(s.cards)]
		return getRequest("/v1/payment-methods/"+id, `"id":"`+id+`"`)
	}
}

// getsAsOf asks for what was when everything had just been attached: half of the
// cards were changed since.
func (s *system) getsAsOf() func(int, int) request {
	at := s.since.UTC().Format("?as_of=2006-01-02T15:04:05.000Z")
	gets := s.gets()
	return func(client, n int) request {
		r := gets(client, n)
		r.path, r.want = r.path+at, `"plan":"gold"`
		return r
	}
}

func (s *system) lists(filter string, length int) func(int, int) request {
	return func(client, n int) request {
		r := getRequest("/v1/customers/reader_"+strconv.Itoa((client+n)%readers)+"/payment-methods"+filter, `"object":"payment_method"`)
		r.times = length
		return r
	}
}

// replays repeat the attaches of the readers.
func (s *system) replays() func(int, int) request {
	return func(client, n int) request {
		r := readerRequest((client*7919 + n) % (readers * listLength))
		r.replay = true
		return r
	}
}

// switches make the one and then the other method of a customer the default.
func (s *system) switches() func(int, int) request {
	return func(client, n int) request {
		pair := &s.switched[client%switchers]
		pair[0], pair[1] = pair[1], pair[0]
		return request{method: "PATCH", path: "/v1/payment-methods/" + pair[0], body: `{"is_default":true}`, want: `"is_default":true`}
	}
}

// readerRequest attaches the n-th of the methods that are read.
func readerRequest(n int) request {
	customer, fingerprint := "reader_"+strconv.Itoa(n/listLength), strconv.Itoa(n)
	if n%4 == 3 {
		return attachRequest(customer, "bank_account", "ba_us_fp_"+fingerprint, customer+"_"+fingerprint)
	}
	return cardRequest(customer, "tok_visa_fp_"+fingerprint, customer+"_"+fingerprint)
}

// static makes requests to E: the answers have that many bytes, and the requests
// are what the measured ones look like.
func static(like request, status, size int) func(int, int) request {
	like.path, like.want, like.times, like.replay = fmt.Sprintf("/%d/%d", status, size), strings.Repeat("x", min(size, 8)), 0, false
	return func(int, int) request { return like }
}
