package api

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pmledger/pmledger/domain"
)

// The bodies of requests. Their tags are what is documented and what is enforced;
// a body that reaches one of these types has passed its shape.

// orNull is a member that may be left out, be null, or have a value: in a PATCH
// three different things.
type orNull[T any] struct {
	Set   bool // the member is there, as null perhaps
	Value *T   // nil for null
}

// UnmarshalJSON is called for a member that is there, null included.
func (o *orNull[T]) UnmarshalJSON(text []byte) error {
	o.Set = true
	return json.Unmarshal(text, &o.Value)
}

// MarshalJSON writes the value, or null.
func (o orNull[T]) MarshalJSON() ([]byte, error) { return json.Marshal(o.Value) }

// Schema is that of the value, or null.
func (o orNull[T]) Schema(r huma.Registry) *huma.Schema {
	s := r.Schema(reflect.TypeFor[T](), true, "")
	if s.Ref != "" {
		return &huma.Schema{OneOf: []*huma.Schema{s, {Type: "null"}}}
	}
	copied := *s
	copied.Nullable = true
	return &copied
}

// or is the value, or the fallback for null and for a member that is not there.
func (o orNull[T]) or(fallback T) T {
	if o.Value == nil {
		return fallback
	}
	return *o.Value
}

// orNone is what the caller says of an instrument: the facts, null, or an empty
// object where the type of the payment method calls for other facts.
type orNone[T any] struct{ orNull[T] }

// Schema is that of the facts, of an empty object, or null.
func (f orNone[T]) Schema(r huma.Registry) *huma.Schema {
	s, none := f.orNull.Schema(r), 0
	empty := &huma.Schema{
		Type: huma.TypeObject, MaxProperties: &none, AdditionalProperties: false,
		Description: "As good as null, unless facts of this kind are required for the type",
	}
	s.OneOf = []*huma.Schema{s.OneOf[0], empty, s.OneOf[1]}
	return s
}

// empty tells whether the caller wrote an empty object. With facts in it some of
// them are not zero: the shape requires those.
func (f orNone[T]) empty() bool {
	return f.Value != nil && reflect.ValueOf(*f.Value).IsZero()
}

// dropEmpty takes an empty object for null where no facts of this kind are called
// for: some callers send an object for each kind, always.
func (f *orNone[T]) dropEmpty(uncalled bool) {
	if uncalled && f.empty() {
		f.Value = nil
	}
}

// metadataText is a value of metadata.
type metadataText string

// Schema gives the limit that a tag cannot give to the values of a map.
func (metadataText) Schema(huma.Registry) *huma.Schema {
	limit := 500
	return &huma.Schema{Type: huma.TypeString, MaxLength: &limit}
}

type metadataBody map[string]metadataText

// Schema adds the limits of keys.
func (metadataBody) Schema(r huma.Registry) *huma.Schema {
	return metadataSchema(metadataText("").Schema(r), domain.MaxMetadataKeys)
}

type metadataPatch map[string]orNull[metadataText]

// Schema allows null as a value: it deletes the key.
func (metadataPatch) Schema(r huma.Registry) *huma.Schema {
	return metadataSchema(orNull[metadataText]{}.Schema(r), 2*domain.MaxMetadataKeys)
}

func metadataSchema(values *huma.Schema, keys int) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: values, MaxProperties: &keys,
		Extensions: map[string]any{"propertyNames": map[string]any{"minLength": 1, "maxLength": domain.MaxMetadataKeyLength, "pattern": plainText}},
	}
}

// Address is a billing address.
type Address struct {
	Name       string `json:"name,omitempty" maxLength:"255"`
	Company    string `json:"company,omitempty" maxLength:"255"`
	Line1      string `json:"line1,omitempty" maxLength:"255"`
	Line2      string `json:"line2,omitempty" maxLength:"255"`
	City       string `json:"city,omitempty" maxLength:"255"`
	State      string `json:"state,omitempty" maxLength:"255"`
	PostalCode string `json:"postal_code,omitempty" maxLength:"32"`
	Country    string `json:"country,omitempty" pattern:"^[A-Z]{2}$" patternDescription:"an ISO 3166-1 alpha-2 country code in upper case" example:"DE"`
	Email      string `json:"email,omitempty" format:"email"`
	Phone      string `json:"phone,omitempty" maxLength:"40"`
}

// CardFacts is what may be shown of a card.
type CardFacts struct {
	Brand            string   `json:"brand" minLength:"1" maxLength:"40" example:"visa" doc:"Stored in lower case"`
	AdditionalBrands []string `json:"additional_brands,omitempty" nullable:"false" maxItems:"5" minLength:"1" maxLength:"40"`
	Last4            string   `json:"last4" pattern:"^[0-9]{4}$" patternDescription:"four digits" example:"4242"`
	ExpMonth         int      `json:"exp_month" minimum:"1" maximum:"12" example:"12"`
	ExpYear          int      `json:"exp_year" minimum:"2000" maximum:"2099" example:"2034" doc:"Four digits"`
	Country          *string  `json:"country,omitempty" nullable:"true" pattern:"^[A-Z]{2}$" patternDescription:"an ISO 3166-1 alpha-2 country code in upper case"`
	Funding          *string  `json:"funding,omitempty" nullable:"true" minLength:"1" maxLength:"40" example:"credit"`
}

// BankAccountFacts is what may be shown of a bank account.
type BankAccountFacts struct {
	BankName    *string `json:"bank_name,omitempty" nullable:"true" maxLength:"255"`
	Last4       string  `json:"last4" pattern:"^[0-9]{4}$" patternDescription:"four digits" example:"6789"`
	Routing     *string `json:"routing,omitempty" nullable:"true" maxLength:"40"`
	Holder      *string `json:"holder,omitempty" nullable:"true" maxLength:"255"`
	HolderType  *string `json:"holder_type,omitempty" nullable:"true" maxLength:"40" example:"individual"`
	AccountType *string `json:"account_type,omitempty" nullable:"true" maxLength:"40" example:"checking"`
	Country     *string `json:"country,omitempty" nullable:"true" pattern:"^[A-Z]{2}$" patternDescription:"an ISO 3166-1 alpha-2 country code in upper case"`
	Currency    *string `json:"currency,omitempty" nullable:"true" pattern:"^[A-Za-z]{3}$" patternDescription:"an ISO 4217 currency code" doc:"Stored in lower case"`
	Status      *string `json:"status,omitempty" nullable:"true" maxLength:"40"`
}

// WalletFacts says which wallet.
type WalletFacts struct {
	Kind  string  `json:"kind" pattern:"^[a-z][a-z0-9_]{0,39}$" patternDescription:"a lower-case name such as apple_pay" example:"apple_pay"`
	Email *string `json:"email,omitempty" nullable:"true" format:"email"`
}

// AttachFields are the members that both calls to attach have.
type AttachFields struct {
	Type         domain.Type              `json:"type" enum:"card,bank_account,direct_debit,paypal,wallet,twint,other" example:"card"`
	Provider     *string                  `json:"provider,omitempty" minLength:"1" maxLength:"64" example:"sandbox" doc:"Name of a configured gateway; the default one when left out"`
	SetAsDefault *bool                    `json:"set_as_default,omitempty" doc:"Make it the customer's default in the same commit"`
	Status       *domain.Status           `json:"status,omitempty" enum:"active,paused" doc:"active when left out"`
	ExternalID   orNull[string]           `json:"external_id,omitzero" minLength:"1" maxLength:"255" doc:"The caller's own name of it"`
	Billing      orNull[Address]          `json:"billing_address,omitzero"`
	Metadata     orNull[metadataBody]     `json:"metadata,omitzero" doc:"Up to 50 keys of 1 to 40 characters without control characters, values of up to 500"`
	RedirectURL  orNull[string]           `json:"redirect_url,omitzero" format:"uri" maxLength:"2048" doc:"Where the buyer returns to after an approval; https, without user and fragment, on an allowed host of the organization"`
	Card         orNone[CardFacts]        `json:"card,omitzero" doc:"Display facts on the caller's word; with scope payment-methods.import"`
	BankAccount  orNone[BankAccountFacts] `json:"bank_account,omitzero" doc:"Display facts on the caller's word; with scope payment-methods.import"`
	Wallet       orNone[WalletFacts]      `json:"wallet,omitzero" doc:"Display facts on the caller's word; with scope payment-methods.import"`
	Fingerprint  orNull[string]           `json:"fingerprint,omitzero" minLength:"1" maxLength:"255" doc:"Equal for equal instruments; with scope payment-methods.import"`
	Country      orNull[string]           `json:"country,omitzero" pattern:"^[A-Z]{2}$" patternDescription:"an ISO 3166-1 alpha-2 country code in upper case" doc:"With scope payment-methods.import"`
}

// AttachRequest attaches a payment method to the customer in the path.
type AttachRequest struct {
	Token string `json:"token" minLength:"1" maxLength:"255" pattern:"^[!-~]+$" patternDescription:"printable ASCII without spaces" example:"tok_visa" doc:"The gateway's token; never a card number"`
	AttachFields
}

// AttachAnywhereRequest attaches a payment method to the customer in the body, or
// to none. It knows two members by two names each.
type AttachAnywhereRequest struct {
	CustomerID orNull[string] `json:"customer_id,omitzero" pattern:"^[A-Za-z0-9_.:@-]{1,128}$" patternDescription:"1 to 128 characters of A-Z a-z 0-9 _ . : @ -" example:"cus_1" doc:"Not . or .. Left out or null: a payment method without a customer"`
	Token      *string        `json:"token,omitempty" minLength:"1" maxLength:"255" pattern:"^[!-~]+$" patternDescription:"printable ASCII without spaces" example:"tok_visa" doc:"The gateway's token; never a card number. Required, unless given as provider_id"`
	ProviderID *string        `json:"provider_id,omitempty" minLength:"1" maxLength:"255" pattern:"^[!-~]+$" patternDescription:"printable ASCII without spaces" doc:"Another name of token"`
	IsDefault  *bool          `json:"is_default,omitempty" doc:"Another name of set_as_default"`
	AttachFields
}

// UpdateRequest changes a payment method. What is left out stays as it is.
type UpdateRequest struct {
	Billing    orNull[Address]       `json:"billing_address,omitzero" doc:"Replaces the whole address; null clears it"`
	Metadata   orNull[metadataPatch] `json:"metadata,omitzero" doc:"Merged; a null value deletes its key, null instead of the object all of them"`
	IsDefault  *bool                 `json:"is_default,omitempty"`
	ExternalID orNull[string]        `json:"external_id,omitzero" minLength:"1" maxLength:"255" doc:"null clears it"`
	Provider   *string               `json:"provider,omitempty" minLength:"1" maxLength:"64"`
	ProviderID *string               `json:"provider_id,omitempty" minLength:"1" maxLength:"255" pattern:"^[!-~]+$" patternDescription:"printable ASCII without spaces"`
	Status     *domain.Status        `json:"status,omitempty" enum:"paused,active"`
}

// EmptyRequest is the body of a call that needs none: nothing, or an empty object.
type EmptyRequest struct{}

// OrganizationRequest changes the organization's settings. What is left out stays
// as it is.
type OrganizationRequest struct {
	DefaultPolicy     *domain.DefaultPolicy   `json:"default_policy,omitempty" enum:"first,explicit,latest"`
	DuplicatePolicy   *domain.DuplicatePolicy `json:"duplicate_policy,omitempty" enum:"return_existing,reject,allow"`
	ExpiryWindowsDays []int                   `json:"expiry_windows_days,omitempty" nullable:"false" minItems:"1" maxItems:"10" uniqueItems:"true" minimum:"1" maximum:"365" doc:"Days before expiry at which payment_method.expiring is due"`
	TimeZone          *string                 `json:"time_zone,omitempty" format:"time-zone" maxLength:"64" example:"Europe/Berlin" doc:"A name of the IANA time-zone database"`
	RedirectHosts     []string                `json:"redirect_hosts,omitempty" nullable:"false" maxItems:"20" uniqueItems:"true" format:"hostname" doc:"Hosts that a redirect_url may have, as lower-case host names; empty: any"`
}

// KeyRequest issues an API key.
type KeyRequest struct {
	Scopes    []string          `json:"scopes" nullable:"false" minItems:"1" maxItems:"32" uniqueItems:"true" enum:"payment-methods.read,payment-methods.write,payment-methods.raw,payment-methods.import,setup-intents.read,setup-intents.write,subscriptions.read,subscriptions.write,history.read,organization.read,organization.write,keys.admin"`
	Name      orNull[string]    `json:"name,omitzero" minLength:"1" maxLength:"255" example:"billing worker"`
	ExpiresAt orNull[time.Time] `json:"expires_at,omitzero" doc:"In the future; null: never"`
}

// bind reads the body into a request type. It has passed the route's shape, so
// that what goes wrong here is a fault of this package.
func bind[T any](c *call) (T, error) {
	var to T
	if c.text == nil {
		return to, nil
	}
	if err := json.Unmarshal(c.text, &to); err != nil {
		return to, fmt.Errorf("a body passed its shape and cannot be read as %T", to)
	}
	return to, nil
}
