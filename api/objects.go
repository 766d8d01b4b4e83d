package api

import (
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pmledger/pmledger/domain"
)

// The objects of answers as the OpenAPI document describes them. The bytes come
// from the projections; a test holds both together.

// PaymentMethod is a gateway's token with what may be shown of the instrument
// behind it.
type PaymentMethod struct {
	ID             string                    `json:"id" pattern:"^pm_[0-9a-f]{32}$" example:"pm_0197b2a4c6e87d10a1b2c3d4e5f60718"`
	Object         string                    `json:"object" enum:"payment_method"`
	OrganizationID string                    `json:"organization_id"`
	CustomerID     *string                   `json:"customer_id"`
	ExternalID     *string                   `json:"external_id"`
	Type           domain.Type               `json:"type" enum:"card,bank_account,direct_debit,paypal,wallet,twint,other"`
	Method         string                    `json:"method" doc:"The finer name; an open set"`
	Status         domain.Status             `json:"status" enum:"pending,active,paused,expired,failed,blocked,detached"`
	StatusReason   *string                   `json:"status_reason"`
	IsDefault      bool                      `json:"is_default"`
	Verified       bool                      `json:"verified"`
	Verification   Verification              `json:"verification"`
	Card           orNull[Card]              `json:"card"`
	BankAccount    orNull[BankAccount]       `json:"bank_account"`
	Wallet         orNull[Wallet]            `json:"wallet"`
	Mandate        orNull[Mandate]           `json:"mandate"`
	Fingerprint    *string                   `json:"fingerprint"`
	Label          *string                   `json:"label" doc:"Last four digits, or the e-mail address of an account that has one"`
	Country        *string                   `json:"country"`
	Currency       *string                   `json:"currency"`
	ExpiresAt      *time.Time                `json:"expires_at" doc:"The first instant at which it is expired"`
	Expiring       bool                      `json:"expiring"`
	BillingAddress orNull[Address]           `json:"billing_address" doc:"null in events"`
	Metadata       orNull[map[string]string] `json:"metadata" doc:"null in events"`
	Provider       string                    `json:"provider"`
	ProviderID     string                    `json:"provider_id" doc:"The gateway's token"`
	Replacement    Replacement               `json:"replacement"`
	LastReplacedAt *time.Time                `json:"last_replaced_at"`
	NextAction     orNull[NextAction]        `json:"next_action" doc:"What the customer has to do"`
	InUseBy        []string                  `json:"in_use_by" nullable:"false"`
	CreatedAt      time.Time                 `json:"created_at"`
	UpdatedAt      time.Time                 `json:"updated_at"`
	DetachedAt     *time.Time                `json:"detached_at"`
	Version        uint64                    `json:"version" doc:"Of the customer's stream at the payment method's last change; also its ETag"`
}

// Verification is what is known of the holder's right to the payment method.
type Verification struct {
	Status            domain.VerificationStatus `json:"status" enum:"unverified,pending,verified,failed,not_required"`
	Kind              *string                   `json:"kind" doc:"The evidence"`
	VerifiedAt        *time.Time                `json:"verified_at"`
	AttemptsRemaining *int                      `json:"attempts_remaining"`
	ExpiresAt         *time.Time                `json:"expires_at"`
	LastError         *string                   `json:"last_error"`
}

// Card is what may be shown of a card.
type Card struct {
	Brand            string   `json:"brand" example:"visa"`
	AdditionalBrands []string `json:"additional_brands" nullable:"false"`
	Last4            string   `json:"last4" example:"4242"`
	ExpMonth         int      `json:"exp_month" example:"12"`
	ExpYear          int      `json:"exp_year" example:"2034"`
	Country          *string  `json:"country"`
	Funding          *string  `json:"funding"`
}

// BankAccount is what may be shown of a bank account.
type BankAccount struct {
	BankName    *string `json:"bank_name"`
	Last4       string  `json:"last4"`
	Routing     *string `json:"routing"`
	Holder      *string `json:"holder" doc:"null in events"`
	HolderType  *string `json:"holder_type"`
	AccountType *string `json:"account_type"`
	Country     *string `json:"country"`
	Currency    *string `json:"currency"`
	Status      *string `json:"status"`
}

// Wallet says which wallet.
type Wallet struct {
	Kind  string  `json:"kind" example:"apple_pay"`
	Email *string `json:"email" doc:"null in events"`
}

// Mandate is a direct-debit authorization.
type Mandate struct {
	Reference  string     `json:"reference"`
	Scheme     string     `json:"scheme" enum:"sepa,bacs,becs,ach"`
	Status     string     `json:"status"`
	AcceptedAt *time.Time `json:"accepted_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
}

// NextAction is what a customer has to do before a payment method can be used or
// is verified.
type NextAction struct {
	Type     domain.ActionType       `json:"type" enum:"redirect,verify_with_microdeposits,use_provider_sdk"`
	Redirect orNull[ApprovalAddress] `json:"redirect" doc:"With redirect"`
	Deposits orNull[AwaitedDeposits] `json:"verify_with_microdeposits" doc:"With verify_with_microdeposits"`
	SDK      any                     `json:"use_provider_sdk" doc:"With use_provider_sdk: what the provider's own library takes; null in events"`
}

// ApprovalAddress is where the customer approves.
type ApprovalAddress struct {
	URL    *string `json:"url" doc:"null in events"`
	Target *string `json:"target" doc:"any or new_window"`
}

// AwaitedDeposits are micro-deposits on their way.
type AwaitedDeposits struct {
	ArrivalDate *string `json:"arrival_date" example:"2034-06-03"`
	Named       *string `json:"microdeposit_type" enum:"amounts,descriptor_code" doc:"What the customer will find, and has to name"`
}

// Replacement tells whether the account updater has new details.
type Replacement struct {
	Pending     bool       `json:"pending"`
	AvailableAt *time.Time `json:"available_at"`
}

// Event is something that happened, as it also goes over NATS.
type Event struct {
	ID              string    `json:"id" pattern:"^evt_[0-9a-f]{32}$"`
	Object          string    `json:"object" enum:"event"`
	Type            string    `json:"type" example:"customer.payment_method_attached"`
	CreatedAt       time.Time `json:"created_at"`
	OrganizationID  string    `json:"organization_id"`
	CustomerID      *string   `json:"customer_id"`
	PaymentMethodID *string   `json:"payment_method_id"`
	Sequence        uint64    `json:"sequence" doc:"Dense from 1 per organization"`
	Version         uint64    `json:"version" doc:"Of the customer's stream"`
	Data            EventData `json:"data"`
	Actor           *string   `json:"actor"`
	Reason          *string   `json:"reason"`
}

// EventData is what an event is about. Some types have more members.
type EventData struct {
	_                  struct{}       `additionalProperties:"true"`
	Object             eventObject    `json:"object" doc:"The payment method or setup intent after the event, told apart by its member object; personal members are null"`
	PreviousAttributes map[string]any `json:"previous_attributes" doc:"Members that changed, with their values before"`
	ChangedPersonal    []string       `json:"changed_personal,omitempty" nullable:"false" doc:"Personal members that changed"`
}

// eventObject is what an event is about; null when a customer has no default any more.
type eventObject struct{}

// Schema is that of a payment method, of a setup intent, or null.
func (eventObject) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{
		r.Schema(reflect.TypeFor[PaymentMethod](), true, ""), r.Schema(reflect.TypeFor[SetupIntent](), true, ""), {Type: "null"},
	}}
}

// PaymentMethodList is a page of payment methods.
type PaymentMethodList struct {
	Object     string          `json:"object" enum:"list"`
	Data       []PaymentMethod `json:"data" nullable:"false"`
	HasMore    bool            `json:"has_more"`
	NextCursor *string         `json:"next_cursor"`
}

// EventList is a page of events.
type EventList struct {
	Object     string  `json:"object" enum:"list"`
	Data       []Event `json:"data" nullable:"false"`
	HasMore    bool    `json:"has_more"`
	NextCursor *string `json:"next_cursor"`
}

// APIKeyList is a page of API keys.
type APIKeyList struct {
	Object     string   `json:"object" enum:"list"`
	Data       []APIKey `json:"data" nullable:"false"`
	HasMore    bool     `json:"has_more"`
	NextCursor *string  `json:"next_cursor"`
}
