package api

import (
	"net/http"

	"github.com/pmledger/pmledger/domain"
)

// updateMethod answers PATCH /v1/payment-methods/{id}.
func updateMethod(c *call) error {
	versions := c.ifMatch()
	if err := c.checked(); err != nil {
		return err
	}
	body, err := bind[UpdateRequest](c)
	if err != nil {
		return err
	}
	if body.Provider != nil {
		if _, known := c.Gateways[*body.Provider]; !known {
			c.add("body.provider", "is not the name of a gateway of this server")
			return c.checked()
		}
		if c.testOnly[*body.Provider] && c.who.mode != domain.ModeTest {
			return domain.Refuse(domain.CodeForbidden, "the gateway %s is for test organizations only", *body.Provider)
		}
	}
	id := domain.MethodID(c.params[0])
	row, err := c.methodRow(id)
	if err != nil {
		return err
	}
	cmd := body.command(id, versions)
	if row.Customer == "" && body.IsDefault != nil && *body.IsDefault {
		c.add("body.is_default", "needs a customer")
		return c.checked()
	}
	result, err := c.command(row.Stream, cmd)
	if err != nil {
		return err
	}
	return c.written(http.StatusOK, result, id)
}

// command translates what is absent, null and there into what the domain leaves
// alone, clears and sets.
func (b UpdateRequest) command(id domain.MethodID, versions domain.Versions) domain.UpdateMethod {
	cmd := domain.UpdateMethod{
		MethodID: id, IfVersion: versions, Provider: b.Provider, ProviderID: b.ProviderID, Status: b.Status, IsDefault: b.IsDefault,
	}
	if b.ExternalID.Set {
		text := b.ExternalID.or("")
		cmd.ExternalID = &text
	}
	if b.Billing.Set {
		if cmd.BillingAddress = addressOf(b.Billing.Value); cmd.BillingAddress == nil {
			cmd.BillingAddress = &domain.Address{}
		}
	}
	if b.Metadata.Set && b.Metadata.Value == nil {
		cmd.ClearMetadata = true
	}
	if b.Metadata.Value != nil {
		cmd.Metadata = make(map[string]*string, len(*b.Metadata.Value))
		for key, text := range *b.Metadata.Value {
			cmd.Metadata[key] = (*string)(text.Value)
		}
	}
	return cmd
}

func addressOf(a *Address) *domain.Address {
	if a == nil || *a == (Address{}) {
		return nil
	}
	address := domain.Address(*a)
	return &address
}

func metadataOf(m *metadataBody) map[string]string {
	if m == nil || len(*m) == 0 {
		return nil
	}
	metadata := make(map[string]string, len(*m))
	for key, text := range *m {
		metadata[key] = string(text)
	}
	return metadata
}
