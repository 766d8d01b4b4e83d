package api

import "reflect"

// exampleOf is a body that the call accepts; a test sends each.
func exampleOf(body reflect.Type) any {
	switch body {
	case reflect.TypeFor[AttachRequest]():
		return map[string]any{"type": "card", "token": "tok_visa", "set_as_default": true}
	case reflect.TypeFor[AttachAnywhereRequest]():
		return map[string]any{"customer_id": "cus_1", "type": "card", "token": "tok_mastercard"}
	case reflect.TypeFor[UpdateRequest]():
		return map[string]any{"metadata": map[string]any{"team": "growth", "old": nil}, "external_id": "card-7", "status": "paused"}
	case reflect.TypeFor[OrganizationRequest]():
		return map[string]any{"default_policy": "explicit", "expiry_windows_days": []int{60, 30, 7}, "time_zone": "Europe/Berlin"}
	case reflect.TypeFor[KeyRequest]():
		return map[string]any{"scopes": []string{ScopeMethodsRead, ScopeMethodsWrite}, "name": "billing worker"}
	case reflect.TypeFor[SetupIntentRequest]():
		return map[string]any{"customer_id": "cus_1", "type": "card", "usage": "off_session", "redirect_url": "https://shop.example/done"}
	case reflect.TypeFor[ConfirmSetupRequest]():
		return map[string]any{"token": "tok_visa"}
	case reflect.TypeFor[CancelSetupRequest]():
		return map[string]any{"cancellation_reason": "abandoned"}
	case reflect.TypeFor[SubscriptionRequest]():
		return map[string]any{"customer_id": "cus_1", "status": "active", "default_payment_method_id": nil}
	case reflect.TypeFor[ConfirmRequest]():
		return map[string]any{"amounts": []int{32, 45}}
	case reflect.TypeFor[ReplaceRequest]():
		return map[string]any{"token": "tok_mastercard"}
	case reflect.TypeFor[DeclineRequest]():
		return map[string]any{"code": "expired_payment_method"}
	case reflect.TypeFor[TestClockRequest]():
		return map[string]any{"now": "2031-12-15T00:00:00Z"}
	case reflect.TypeFor[RawCardRequest]():
		return map[string]any{"number": "4242" + "424242424242", "expiration_date": "12/34", "security_code": "123"}
	default:
		return map[string]any{}
	}
}
