package domain

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// bogus is a command that nothing knows.
type bogus struct{}

func (bogus) CommandName() string { return "bogus" }

// parseCommand reads "<verb> <id> <key=value …>". Underlines in values are spaces.
func (p *play) parseCommand(text string) (Command, error) {
	words := strings.Fields(text)
	verb, id := words[0], ""
	if len(words) > 1 && verb != "settings" {
		id, words = words[1], words[1:]
	}
	pairs := words[1:]
	switch verb {
	case "attach":
		return p.parseAttach(MethodID(id), pairs)
	case "update":
		return parseUpdate(MethodID(id), pairs)
	case "default":
		versions, err := parseVersions(pairs)
		return SetDefault{MethodID: MethodID(id), IfVersion: versions}, err
	case "detach":
		promote := ""
		if len(pairs) > 0 && strings.HasPrefix(pairs[0], "promote=") {
			promote, pairs = strings.TrimPrefix(pairs[0], "promote="), pairs[1:]
		}
		versions, err := parseVersions(pairs)
		return DetachMethod{MethodID: MethodID(id), Promote: MethodID(promote), IfVersion: versions}, err
	case "open":
		return OpenOrganization{Mode: Mode(id)}, nil
	case "create-key":
		return parseCreateKey(id, pairs)
	case "revoke-key":
		return RevokeKey{KeyID: id}, nil
	case "settings":
		return parseSettings(pairs)
	case "bogus":
		return bogus{}, nil
	default:
		return p.parseLifecycle(verb, id, pairs)
	}
}

// parseVersions reads "if=3,5".
func parseVersions(pairs []string) (Versions, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	list, ok := strings.CutPrefix(pairs[0], "if=")
	if !ok {
		return nil, fmt.Errorf("no such member %s", pairs[0])
	}
	numbers, err := parseNumbers(list)
	versions := Versions{}
	for _, n := range numbers {
		versions = append(versions, uint64(n))
	}
	return versions, err
}

// instrument is what a scenario can attach.
func instrument(name string) (Facts, error) {
	switch name {
	case "visa", "amex":
		return Facts{Type: TypeCard, Method: "card", Country: "US", Card: &Card{Brand: name, Last4: "4242", ExpMonth: 12, ExpYear: 2034}}, nil
	case "bank":
		return Facts{Type: TypeBankAccount, Method: "ach", BankAccount: &BankAccount{Last4: "6789"}}, nil
	case "sepa":
		return Facts{Type: TypeDirectDebit, Method: "sepa", Mandate: &Mandate{Reference: "R1", Scheme: "sepa", Status: "active"}}, nil
	case "paypal":
		return Facts{Type: TypePaypal, Method: "paypal", Wallet: &Wallet{Kind: "paypal"}}, nil
	case "apple_pay":
		return Facts{Type: TypeWallet, Method: "apple_pay", Wallet: &Wallet{Kind: "apple_pay"}}, nil
	case "twint":
		return Facts{Type: TypeTwint, Method: "twint"}, nil
	case "other":
		return Facts{Type: TypeOther, Method: "voucher"}, nil
	default:
		return Facts{}, fmt.Errorf("no such instrument %s", name)
	}
}

// parseAttach reads "<instrument> <key=value …>". Without fp the fingerprint is
// that of the id, so that every id is another instrument.
func (p *play) parseAttach(id MethodID, words []string) (Command, error) {
	facts, err := instrument(words[0])
	if err != nil {
		return nil, err
	}
	facts.Fingerprint = "fp-" + string(id)
	cmd := AttachMethod{
		MethodID: id, Type: facts.Type, Provider: "sandbox", ProviderID: "tok-" + string(id),
		Facts: facts, FactsFrom: "gateway", Policy: p.policy,
	}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		switch {
		case key == "exp":
			at, err := time.Parse("01/2006", value)
			if err != nil {
				return nil, err
			}
			cmd.Facts.Card.ExpMonth, cmd.Facts.Card.ExpYear = int(at.Month()), at.Year()
		case key == "no-exp-month":
			cmd.Facts.Card.ExpMonth = 0
		case key == "no-exp-year":
			cmd.Facts.Card.ExpYear = 0
		case key == "fp":
			cmd.Facts.Fingerprint = value
		case key == "type":
			cmd.Type = Type(value)
		case key == "external_id":
			cmd.ExternalID = value
		case key == "paused":
			cmd.Paused = true
		case key == "default":
			cmd.SetAsDefault = true
		case strings.HasPrefix(key, "metadata."):
			if cmd.Personal.Metadata == nil {
				cmd.Personal.Metadata = map[string]string{}
			}
			cmd.Personal.Metadata[stretched(key[len("metadata."):])] = stretched(value)
		case key == "billing":
			cmd.Personal.BillingAddress = &Address{Line1: value}
		case key == "unsynced":
			cmd.Unsynced, cmd.Facts = true, Facts{Type: facts.Type, Method: facts.Method}
		case key == "approval":
			cmd.Approval = approvalBy(value)
		case key == "news":
			cmd.News, err = parseReplacement(value)
			if err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("no such member %s", key)
		}
	}
	return cmd, nil
}

// stretched reads "k*41" as 41 times k.
func stretched(s string) string {
	text, times, ok := strings.Cut(s, "*")
	n, err := strconv.Atoi(times)
	if !ok || err != nil {
		return s
	}
	return strings.Repeat(text, n)
}

func parseUpdate(id MethodID, pairs []string) (Command, error) {
	cmd := UpdateMethod{MethodID: id}
	text := func(value string) *string {
		if value == "null" {
			value = ""
		}
		return &value
	}
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		switch {
		case key == "if":
			versions, err := parseVersions([]string{pair})
			if err != nil {
				return nil, err
			}
			cmd.IfVersion = versions
		case key == "external_id":
			cmd.ExternalID = text(value)
		case key == "provider":
			cmd.Provider = text(value)
		case key == "provider_id":
			cmd.ProviderID = text(value)
		case key == "billing":
			cmd.BillingAddress = &Address{Line1: *text(value)}
		case key == "metadata" && value == "null":
			cmd.ClearMetadata = true
		case key == "metadata-keys":
			n, err := strconv.Atoi(value)
			if err != nil {
				return nil, err
			}
			cmd.Metadata = map[string]*string{}
			for i := range n {
				cmd.Metadata["key"+strconv.Itoa(i)] = text("v")
			}
		case strings.HasPrefix(key, "metadata."):
			if cmd.Metadata == nil {
				cmd.Metadata = map[string]*string{}
			}
			member := stretched(key[len("metadata."):])
			cmd.Metadata[member] = nil
			if value != "null" {
				cmd.Metadata[member] = text(stretched(value))
			}
		case key == "status":
			status := Status(value)
			cmd.Status = &status
		case key == "is_default":
			on := value == "true"
			cmd.IsDefault = &on
		default:
			return nil, fmt.Errorf("no such member %s", key)
		}
	}
	return cmd, nil
}

func parseCreateKey(id string, pairs []string) (Command, error) {
	cmd := CreateKey{Mode: ModeTest, Key: APIKey{ID: id, MAC: "00ff", Scopes: []string{"payment-methods.read"}}}
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		switch key {
		case "mode":
			cmd.Mode = Mode(value)
		case "mac":
			cmd.Key.MAC = value
		case "scopes":
			cmd.Key.Scopes = strings.Split(value, ",")
		default:
			return nil, fmt.Errorf("no such member %s", key)
		}
	}
	return cmd, nil
}

func parseSettings(pairs []string) (Command, error) {
	cmd := UpdateSettings{}
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		switch key {
		case "default":
			policy := DefaultPolicy(value)
			cmd.DefaultPolicy = &policy
		case "duplicate":
			policy := DuplicatePolicy(value)
			cmd.DuplicatePolicy = &policy
		case "windows":
			numbers, err := parseNumbers(value)
			if err != nil {
				return nil, err
			}
			cmd.ExpiryWindowsDays = numbers
		case "zone":
			cmd.TimeZone = &value
		case "hosts":
			cmd.RedirectHosts = strings.Split(value, ",")
		default:
			return nil, fmt.Errorf("no such member %s", key)
		}
	}
	return cmd, nil
}
