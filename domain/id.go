package domain

import (
	"encoding/hex"
	"strings"

	"github.com/google/uuid"
)

// MethodID identifies a payment method: "pm_" and the 32 hex digits of a UUID,
// version 7 (so that ids sort by creation) or version 8 when it is derived from
// an idempotency key.
type MethodID string

// NewMethodID writes a UUID as a method id.
func NewMethodID(u uuid.UUID) MethodID { return MethodID("pm_" + hex.EncodeToString(u[:])) }

// Valid tells whether id has the form of a method id.
func (id MethodID) Valid() bool {
	digits, ok := strings.CutPrefix(string(id), "pm_")
	return ok && isHex32(digits)
}

// EventID writes the id of a record as it is shown outside: "evt_" and 32 hex digits.
func EventID(u uuid.UUID) string { return "evt_" + hex.EncodeToString(u[:]) }

// ParseEventID reads the outside form of a record's id.
func ParseEventID(s string) (uuid.UUID, bool) {
	digits, ok := strings.CutPrefix(s, "evt_")
	if !ok || !isHex32(digits) {
		return uuid.UUID{}, false
	}
	u, err := uuid.Parse(digits)
	return u, err == nil
}

// ValidOrganization tells whether s may name an organization: [A-Za-z0-9_-]{1,64}.
func ValidOrganization(s string) bool {
	return len(s) >= 1 && len(s) <= 64 && madeOf(s, "_-")
}

// ValidCustomer tells whether s may name a customer: [A-Za-z0-9_.:@-]{1,128},
// but not "." or "..", which a URL path would swallow.
func ValidCustomer(s string) bool {
	return len(s) >= 1 && len(s) <= 128 && madeOf(s, "_.:@-") && s != "." && s != ".."
}

// madeOf tells whether s is made of ASCII letters, digits and the given marks.
func madeOf(s, marks string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(marks, c) < 0 {
			return false
		}
	}
	return true
}

func isHex32(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == 32
}

// CustomerStream names the stream that holds everything about one customer. A
// method without a customer has a stream of its own, named with "~" and its id,
// which no customer can be called.
func CustomerStream(organization, customer string, method MethodID) string {
	if customer == "" {
		return "customer-" + organization + "+~" + string(method)
	}
	return "customer-" + organization + "+" + customer
}

// SubscriptionStream names the stream that says whose a subscription is.
func SubscriptionStream(organization, subscription string) string {
	return "subscription-" + organization + "+" + subscription
}

// OrganizationStream names the stream of an organization's settings and keys.
func OrganizationStream(organization string) string { return "organization-" + organization }

// LedgerStream holds the one record that says which log this is.
const LedgerStream = "ledger"

// StreamOwner takes a stream's name apart: the category before the first "-",
// the organization, and the customer ("" for a method without one).
func StreamOwner(stream string) (category, organization, customer string) {
	category, rest, _ := strings.Cut(stream, "-")
	organization, customer, _ = strings.Cut(rest, "+")
	if strings.HasPrefix(customer, "~") {
		customer = ""
	}
	return category, organization, customer
}
