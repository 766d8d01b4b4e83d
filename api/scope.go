package api

import "slices"

// The scopes a key can have. A route names the one it needs.
const (
	ScopeMethodsRead        = "payment-methods.read"
	ScopeMethodsWrite       = "payment-methods.write"
	ScopeMethodsRaw         = "payment-methods.raw"    // card numbers pass through; separate on purpose
	ScopeMethodsImport      = "payment-methods.import" // display facts on the caller's word
	ScopeSetupIntentsRead   = "setup-intents.read"
	ScopeSetupIntentsWrite  = "setup-intents.write"
	ScopeSubscriptionsRead  = "subscriptions.read"
	ScopeSubscriptionsWrite = "subscriptions.write"
	ScopeHistoryRead        = "history.read"
	ScopeOrganizationRead   = "organization.read"
	ScopeOrganizationWrite  = "organization.write"
	ScopeKeysAdmin          = "keys.admin"
)

// scopePublic marks the routes that answer without a credential. It is no scope:
// no key can have it.
const scopePublic = "-"

// Scopes lists every scope, in the order of the documentation.
func Scopes() []string {
	return []string{
		ScopeMethodsRead, ScopeMethodsWrite, ScopeMethodsRaw, ScopeMethodsImport,
		ScopeSetupIntentsRead, ScopeSetupIntentsWrite, ScopeSubscriptionsRead, ScopeSubscriptionsWrite,
		ScopeHistoryRead, ScopeOrganizationRead, ScopeOrganizationWrite, ScopeKeysAdmin,
	}
}

// ValidScope tells whether a key can be given the scope.
func ValidScope(scope string) bool { return slices.Contains(Scopes(), scope) }
