package domain

// ActionType says what a customer has to do next.
type ActionType string

// The next actions.
const (
	ActionRedirect      ActionType = "redirect"
	ActionMicroDeposits ActionType = "verify_with_microdeposits"
	ActionProviderSDK   ActionType = "use_provider_sdk"
)

// NextAction is what a customer has to do before a method can be used or is
// verified. Which members apply follows from Type.
//
// RedirectURL may hold a secret of the provider's, without which its page does not
// open. It is stored as it is, since a read asks no provider; it is shown to those
// who may read the subject, never in events, and worth nothing once the intent is
// over at the provider (see LeftOpen).
type NextAction struct {
	Type             ActionType `json:"type"`
	RedirectURL      string     `json:"redirect_url,omitempty"`
	RedirectTarget   string     `json:"redirect_target,omitempty"` // any or new_window
	ArrivalDate      string     `json:"arrival_date,omitempty"`    // YYYY-MM-DD
	MicroDepositType Named      `json:"microdeposit_type,omitempty"`
	SDKData          string     `json:"sdk_data,omitempty"` // JSON of the provider, passed on as it is
}
