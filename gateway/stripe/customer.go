package stripe

import (
	"context"
	"net/http"
	"regexp"

	stripego "github.com/stripe/stripe-go/v82"

	"github.com/pmledger/pmledger/gateway"
)

// Names that are customers of Stripe, and names that may stand in a search.
var (
	stripeCustomer = regexp.MustCompile(`^cus_[A-Za-z0-9]{14,}$`)
	searchable     = regexp.MustCompile(`^[A-Za-z0-9_.:@-]{1,128}$`)
)

// customer names the customer at Stripe that pm belongs to, or will: see the
// package comment. nil is none, for a method without a customer.
func (g *Gateway) customer(ctx context.Context, req gateway.Request, pm *stripego.PaymentMethod) (*string, error) {
	switch {
	case pm.Customer != nil && pm.Customer.ID != "":
		return &pm.Customer.ID, nil
	case req.Customer == "":
		return nil, nil
	case stripeCustomer.MatchString(req.Customer):
		return &req.Customer, nil
	}
	id, err := g.findCustomer(ctx, req)
	if id != nil || err != nil {
		return id, err
	}
	// What was made a moment ago is not found yet; the key finds it for a day.
	made := &stripego.Customer{}
	err = g.ask(ctx, question{
		req: req, method: http.MethodPost, path: "/v1/customers", key: "pmledger-customer-" + digest(req.Organization, req.Customer),
		params: &stripego.CustomerParams{Metadata: map[string]string{metaOrganization: req.Organization, metaCustomer: req.Customer}},
	}, made)
	if err != nil {
		return nil, err
	}
	return &made.ID, nil
}

// findCustomer finds the oldest customer that was made for the ledger's. Stripe
// offers no search in some countries; there only the key keeps customers single.
func (g *Gateway) findCustomer(ctx context.Context, req gateway.Request) (*string, error) {
	if !searchable.MatchString(req.Customer) || !searchable.MatchString(req.Organization) {
		return nil, nil
	}
	params := &stripego.CustomerSearchParams{}
	params.Query = "metadata['" + metaOrganization + "']:'" + req.Organization + "' AND metadata['" + metaCustomer + "']:'" + req.Customer + "'"
	params.Limit = stripego.Int64(100)
	found := &stripego.CustomerSearchResult{}
	err := g.ask(ctx, question{req: req, method: http.MethodGet, path: "/v1/customers/search", params: params}, found)
	if err != nil && gateway.KindOf(err) == gateway.Declined {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var oldest *stripego.Customer
	for _, c := range found.Data {
		if !c.Deleted && (oldest == nil || c.Created < oldest.Created || c.Created == oldest.Created && c.ID < oldest.ID) {
			oldest = c
		}
	}
	if oldest == nil {
		return nil, nil
	}
	return &oldest.ID, nil
}
