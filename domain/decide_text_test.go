package domain

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// describe writes an event as a scenario names it.
func describe(e Event) string {
	switch e := e.(type) {
	case MethodAttached:
		words := fmt.Sprintf("attached %s %s %s %s", e.MethodID, e.Facts.Method, e.Status, e.Verification.Status)
		if !e.ExpiresAt.IsZero() {
			words += " until " + e.ExpiresAt.Format(time.RFC3339)
		}
		return words
	case MethodUpdated:
		return "updated " + string(e.MethodID) + describeUpdate(e)
	case MethodPaused:
		return "paused " + string(e.MethodID)
	case MethodResumed:
		return "resumed " + string(e.MethodID)
	case MethodExpiring:
		return fmt.Sprintf("expiring %s window %d serves %s", e.MethodID, e.Window, strings.Trim(fmt.Sprint(e.Served), "[]"))
	case MethodExpired:
		return "expired " + string(e.MethodID)
	case DuplicateDetected:
		return fmt.Sprintf("duplicate of %s: %s", e.MethodID, e.Policy) + tail(said("unfit", e.Unfit))
	case DefaultChanged:
		return fmt.Sprintf("default from %s to %s: %s", orNone(e.From), orNone(e.To), e.Cause)
	case MethodDetached:
		return "detached " + string(e.MethodID) + dropping(e.PendingDropped, " drops what is pending")
	case OrganizationCreated:
		return fmt.Sprintf("organization %s created as %s", e.Organization, e.Mode)
	case OrganizationUpdated:
		s := e.Settings
		words := fmt.Sprintf("settings %s %s windows %s zone %s", s.DefaultPolicy, s.DuplicatePolicy,
			strings.Trim(fmt.Sprint(s.ExpiryWindowsDays), "[]"), s.TimeZone)
		if len(s.RedirectHosts) > 0 {
			words += " hosts " + strings.Join(s.RedirectHosts, ",")
		}
		return words
	case KeyCreated:
		return fmt.Sprintf("key %s created for %s", e.Key.ID, strings.Join(e.Key.Scopes, ","))
	case KeyRevoked:
		return fmt.Sprintf("key %s revoked", e.KeyID)
	default:
		return describeLifecycle(e)
	}
}

func describeUpdate(e MethodUpdated) string {
	words := ""
	for _, member := range []struct {
		name  string
		value *string
	}{{"external_id", e.ExternalID}, {"provider", e.Provider}, {"provider_id", e.ProviderID}} {
		if member.value != nil {
			words += " " + member.name + "=" + *member.value
		}
	}
	if e.Personal.BillingAddress != nil {
		words += fmt.Sprintf(" billing=%q", e.Personal.BillingAddress.Line1)
	}
	if e.Personal.Metadata != nil {
		pairs := []string{}
		for _, key := range slices.Sorted(maps.Keys(e.Personal.Metadata)) {
			pairs = append(pairs, key+"="+e.Personal.Metadata[key])
		}
		if len(pairs) > 9 {
			pairs = []string{fmt.Sprintf("%d keys", len(pairs))}
		}
		words += " metadata={" + strings.Join(pairs, ",") + "}"
	}
	return words + dropping(e.VerificationDropped, " drops verification")
}

func dropping(on bool, words string) string {
	if !on {
		return ""
	}
	return words
}

func orNone(id MethodID) string {
	if id == "" {
		return "none"
	}
	return string(id)
}

// parseEvent reads the events that a scenario can be given.
func parseEvent(text string, s State) (Event, error) {
	word, rest, _ := strings.Cut(text, " ")
	id := MethodID(rest)
	switch word {
	case "expired":
		return MethodExpired{MethodID: id, ExpiresAt: s.(*Customer).Methods[id].ExpiresAt}, nil
	default:
		return nil, fmt.Errorf("no such event")
	}
}

func (p *play) parsePolicy(text string) error {
	for _, pair := range strings.Fields(text) {
		key, value, _ := strings.Cut(pair, "=")
		var err error
		switch key {
		case "default":
			p.policy.DefaultPolicy = DefaultPolicy(value)
		case "duplicate":
			p.policy.DuplicatePolicy = DuplicatePolicy(value)
		case "windows":
			p.policy.ExpiryWindowsDays, err = parseNumbers(value)
		case "zone":
			p.policy.Location, err = time.LoadLocation(value)
		case "most":
			p.policy.MaxMethods, err = strconv.Atoi(value)
		default:
			err = fmt.Errorf("no such policy %s", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func parseNumbers(text string) ([]int, error) {
	numbers := []int{}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}
