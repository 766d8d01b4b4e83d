// Package apitest is what clients may see of one customer's payment methods when
// many of them work on it at once: the requests, what their answers show, and the
// model that tells which answers go together.
package apitest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Methods is how many payment methods a customer has in these tests, one of each
// number from 0.
const Methods = 4

// Kind is what a client asks for.
type Kind uint8

// The policy of the organization must be "explicit": an attach alone makes no
// default.
const (
	Attach Kind = iota
	AttachDefault
	Annotate
	SetDefault
	Detach
	DetachBriefly // and asks for no body in the answer
	Get
	Default
	List
)

// Operation is a request about a customer.
type Operation struct {
	Kind   Kind
	Method int    // its number, where the request is about one
	Note   uint32 // of Annotate
}

// Writes tells whether it may change something.
func (o Operation) Writes() bool { return o.Kind < Get }

// Request is the operation as HTTP. id is that of its method, which an attach has
// not got yet.
func (o Operation) Request(customer, id string) (method, path, body string, header []string) {
	ofCustomer, one := "/v1/customers/"+customer, "/v1/payment-methods/"+id
	switch o.Kind {
	case Attach, AttachDefault:
		body = fmt.Sprintf(`{"type":"card","token":"tok_visa_fp_%d","external_id":"m%d","set_as_default":%t}`, o.Method, o.Method, o.Kind == AttachDefault)
		return http.MethodPost, ofCustomer + "/payment-methods", body, nil
	case Annotate:
		return http.MethodPatch, one, fmt.Sprintf(`{"metadata":{"note":"%d"}}`, o.Note), nil
	case SetDefault:
		return http.MethodPost, one + "/default", "", nil
	case Detach:
		return http.MethodDelete, one, "", nil
	case DetachBriefly:
		return http.MethodDelete, one, "", []string{"Prefer", "return=minimal"}
	case Get:
		return http.MethodGet, one, "", nil
	case Default:
		return http.MethodGet, ofCustomer + "/default-payment-method", "", nil
	default:
		return http.MethodGet, ofCustomer + "/payment-methods", "", nil
	}
}

// Method is what a client can see of a payment method. Zero: it was not shown, or
// is not there.
type Method struct {
	ID                string
	Attached, Default bool
	Detached          bool
	Note              uint32
}

// Answer is what came of an operation.
type Answer struct {
	Lost   bool // it did not arrive: the operation has happened, or never will
	Status int
	Shows  [Methods]Method // what it tells about each method
}

// Read reads an answer. A body that it does not understand shows nothing, which the
// model does not take for right.
func Read(status int, body []byte) Answer {
	a := Answer{Status: status}
	if status >= http.StatusBadRequest {
		return a
	}
	type object struct {
		ID, Status string
		IsDefault  bool   `json:"is_default"`
		ExternalID string `json:"external_id"`
		Metadata   struct{ Note string }
	}
	var shown struct {
		object
		Data []object
	}
	_ = json.Unmarshal(body, &shown)
	for _, m := range append(shown.Data, shown.object) {
		number, err := strconv.Atoi(strings.TrimPrefix(m.ExternalID, "m"))
		if err != nil || number >= Methods {
			continue
		}
		note, _ := strconv.ParseUint(m.Metadata.Note, 10, 32)
		a.Shows[number] = Method{ID: m.ID, Attached: m.Status == "active", Detached: m.Status == "detached", Default: m.IsDefault, Note: uint32(note)}
	}
	return a
}
