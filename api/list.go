package api

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/projections"
)

// listMethods answers GET /v1/payment-methods.
func listMethods(c *call) error {
	return c.methods(c.queryCustomer())
}

// listOfCustomer answers GET /v1/customers/{customer_id}/payment-methods. A
// customer that was never heard of has no payment methods.
func listOfCustomer(c *call) error {
	if named := c.queryCustomer(); named != "" && named != c.params[0] {
		c.add("query.customer_id", "must be the customer of the path, or be left out")
	}
	return c.methods(c.params[0])
}

func (c *call) methods(customer string) error {
	q := projections.MethodQuery{
		Customer: customer, Type: queryEnum(c, "type", domain.Types), Status: queryEnum(c, "status", domain.Statuses),
		IsDefault: c.queryBool("is_default"), Verified: c.queryBool("verified"), Provider: c.queryText("provider"),
		ProviderID: c.queryText("provider_id"), Fingerprint: c.queryText("fingerprint"), ExternalID: c.queryText("external_id"),
		ExpiringBefore: c.queryTime("expiring_before"), CreatedAfter: c.queryTime("created_after"),
		CreatedBefore: c.queryTime("created_before"), Limit: c.queryLimit(),
	}
	if removed := c.queryBool("include_removed"); removed != nil {
		q.IncludeRemoved = *removed
	}
	if q.Status == domain.StatusDetached {
		q.IncludeRemoved = true // whoever asks for detached methods wants to see them
	}
	at, asOf := c.asOf()
	if asOf && customer == "" {
		c.add("query.as_of", "needs a customer: give customer_id too")
	}
	if err := c.checked(); err != nil {
		return err
	}
	after, err := c.cursorPlace()
	if err != nil {
		return err
	}
	if err := c.await(); err != nil {
		return err
	}
	q.After = after
	if asOf {
		return c.methodsAt(q, at)
	}
	page, err := c.Views.Methods(c.who.organization, q)
	c.seen = c.Views.Position()
	return c.page(page, err)
}

// page answers with a page of a view.
func (c *call) page(page projections.Page, err error) error {
	switch {
	case errors.Is(err, projections.ErrCursor):
		return cursorInvalid()
	case err != nil:
		return err
	default:
		return c.list(page.Items, page.Next)
	}
}

// methodsAt answers the list of one customer as it was: the same filters, order
// and pages, over the state folded from the log.
func (c *call) methodsAt(q projections.MethodQuery, at time.Time) error {
	c.seen = c.Views.Position()
	customer, err := c.customerAt(domain.CustomerStream(c.who.organization, q.Customer, ""), at)
	if err != nil {
		return err
	}
	var found []*domain.Method
	for _, m := range customer.Methods {
		if passes(m, q) {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b *domain.Method) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(string(b.ID), string(a.ID)))
	})
	if i := slices.IndexFunc(found, func(m *domain.Method) bool { return string(m.ID) == q.After }); i >= 0 {
		found = found[i+1:]
	}
	next := ""
	if len(found) > q.Limit {
		found = found[:q.Limit]
		next = string(found[q.Limit-1].ID)
	}
	items := make([][]byte, len(found))
	for i, m := range found {
		items[i] = projections.RenderMethod(m)
	}
	return c.list(items, next)
}

// passes tells whether a method is one that the query asks for.
func passes(m *domain.Method, q projections.MethodQuery) bool {
	return (q.Type == "" || m.Type == q.Type) &&
		(q.Status == "" || m.Status == q.Status) &&
		(q.IncludeRemoved || m.Attached()) &&
		(q.IsDefault == nil || m.IsDefault == *q.IsDefault) &&
		(q.Verified == nil || (m.Verification.Status == domain.Verified) == *q.Verified) &&
		(q.Provider == "" || m.Provider == q.Provider) &&
		(q.ProviderID == "" || m.ProviderID == q.ProviderID) &&
		(q.Fingerprint == "" || m.Fingerprint == q.Fingerprint) &&
		(q.ExternalID == "" || m.ExternalID == q.ExternalID) &&
		(q.ExpiringBefore.IsZero() || !m.ExpiresAt.IsZero() && m.ExpiresAt.Before(q.ExpiringBefore)) &&
		(q.CreatedAfter.IsZero() || m.CreatedAt.After(q.CreatedAfter)) &&
		(q.CreatedBefore.IsZero() || m.CreatedAt.Before(q.CreatedBefore))
}

// getDefault answers GET /v1/customers/{customer_id}/default-payment-method.
func getDefault(c *call) error {
	at, asOf := c.asOf()
	if err := c.checked(); err != nil {
		return err
	}
	if err := c.await(); err != nil {
		return err
	}
	if asOf {
		return c.defaultAt(at)
	}
	body, version, err := c.defaultMethod()
	if err == nil && body == nil {
		if err = c.catchUp(); err == nil {
			body, version, err = c.defaultMethod()
		}
	}
	c.seen = c.Views.Position()
	if err != nil {
		return err
	}
	if body == nil {
		return noDefault()
	}
	return c.object(body, version)
}

func noDefault() error {
	return domain.Refuse(domain.CodeMethodNotFound, "the customer has no default payment method")
}

func (c *call) defaultAt(at time.Time) error {
	customer, err := c.customerAt(domain.CustomerStream(c.who.organization, c.params[0], ""), at)
	if err != nil {
		return err
	}
	c.seen = c.Views.Position()
	m, ok := customer.Methods[customer.Default]
	if !ok {
		return noDefault()
	}
	return c.object(projections.RenderMethod(m), m.Version)
}

// defaultMethod reads the customer's default from the views; nil when there is none.
func (c *call) defaultMethod() ([]byte, uint64, error) {
	yes := true
	q := projections.MethodQuery{Customer: c.params[0], IsDefault: &yes, Limit: 1}
	for {
		page, err := c.Views.Methods(c.who.organization, q)
		if err != nil {
			return nil, 0, err
		}
		if len(page.Items) > 0 {
			version, err := versionIn(page.Items[0])
			return page.Items[0], version, err
		}
		if page.Next == "" {
			return nil, 0, nil
		}
		q.After = page.Next
	}
}

// versionIn reads the last member of a rendered payment method: its version.
func versionIn(object []byte) (uint64, error) {
	const name = `"version":`
	at := bytes.LastIndex(object, []byte(name))
	if at < 0 {
		return 0, errors.New("a rendered payment method does not end with its version")
	}
	return strconv.ParseUint(string(bytes.TrimRight(object[at+len(name):], "}\n")), 10, 64)
}
