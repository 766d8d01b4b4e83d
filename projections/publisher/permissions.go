package publisher

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Permissions are the subjects that a user of an external NATS may publish and
// subscribe to; everything else is denied. It marshals to the JSON that
// nats-server and its tools use.
type Permissions struct {
	Publish   SubjectList `json:"publish"`
	Subscribe SubjectList `json:"subscribe"`
}

// SubjectList is what one direction allows.
type SubjectList struct {
	Allow []string `json:"allow"`
}

// PublisherPermissions are the least that the user of --nats-url needs to make the
// stream, fill it and read its end. Consumers are not its business.
func PublisherPermissions() Permissions {
	return Permissions{
		Publish:   SubjectList{append([]string{inputSubjects}, publisherRequests()...)},
		Subscribe: SubjectList{[]string{replyPrefix + ".>"}},
	}
}

func publisherRequests() []string {
	return []string{
		"$JS.API.INFO",
		"$JS.API.STREAM.INFO." + StreamName,
		"$JS.API.STREAM.CREATE." + StreamName,
		"$JS.API.STREAM.UPDATE." + StreamName,
		"$JS.API.STREAM.MSG.GET." + StreamName,
	}
}

// ConsumerPermissions are what a reader of one organization's events needs: its
// own durable consumer by its exact name, and the live events. name is as for
// NewConsumer. The client must take InboxPrefix for its answers.
//
// There is no wildcard where a consumer's name stands. One on CONSUMER.CREATE
// would let an organization replace the consumer of another, even with its filter
// held to its own events.
func ConsumerPermissions(organization, name string) Permissions {
	c := StreamName + "." + ConsumerName(organization, name)
	return Permissions{
		Publish: SubjectList{[]string{
			"$JS.API.CONSUMER.INFO." + c,
			"$JS.API.CONSUMER.MSG.NEXT." + c,
			"$JS.API.CONSUMER.RESET." + c,
			"$JS.ACK." + c + ".>",
		}},
		Subscribe: SubjectList{[]string{InboxPrefix(organization) + ".>", organizationSubjects(organization)}},
	}
}

// InboxPrefix begins the subjects on which a reader of an organization gets the
// answers to its requests, so that no other reader sees them. Clients call it the
// custom inbox prefix.
func InboxPrefix(organization string) string { return "_INBOX_" + organization }

// consumerServices are the requests that readers in an account of their own send
// to the account of the stream, and whether one has many answers. Which of them a
// reader may send is in its permissions. None may send the first one; but only in
// an account that imports it does the server leave the others to the import, rather
// than look for JetStream in the account itself.
func consumerServices() map[string]bool {
	return map[string]bool{
		"$JS.API.INFO": false,
		"$JS.API.CONSUMER.INFO." + StreamName + ".*":     false,
		"$JS.API.CONSUMER.MSG.NEXT." + StreamName + ".*": true,
		"$JS.API.CONSUMER.RESET." + StreamName + ".*":    false,
		"$JS.ACK." + StreamName + ".>":                   false,
	}
}

// AccountsConfig is the accounts block of an external NATS server or cluster: one
// account for the stream, with the publisher and an administrator, and one for
// readers. Readers must not share the account of the stream: the answer to a
// request goes where the request says, unchecked, and so into the stream.
func AccountsConfig() string {
	var exports, imports strings.Builder
	services := consumerServices()
	for _, subject := range slices.Sorted(maps.Keys(services)) {
		response := "singleton"
		if services[subject] {
			response = "stream"
		}
		fmt.Fprintf(&exports, "      { service: %s, response_type: %s, accounts: [CONSUMERS] }\n", quote(subject), response)
		fmt.Fprintf(&imports, "      { service: { account: %s, subject: %s } }\n", streamAccount, quote(subject))
	}
	fmt.Fprintf(&exports, "      { stream: %s, accounts: [CONSUMERS] }\n", quote(publicSubjects))
	fmt.Fprintf(&imports, "      { stream: { account: %s, subject: %s } }\n", streamAccount, quote(publicSubjects))
	return fmt.Sprintf(`accounts {
  %s {
    jetstream: enabled
    users: [
      # pmledger serve
      %s
      # pmledger nats consumer, nats
      { user: "admin", password: "…" }
    ]
    exports: [
%s    ]
  }
  CONSUMERS {
    imports: [
%s    ]
    users: [
      # one for each organization: pmledger nats consumer permissions <organization>
    ]
  }
}`, streamAccount, indent(PublisherPermissions().User(publisherUser), 6), &exports, &imports)
}

func indent(text string, spaces int) string {
	return strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", spaces))
}

// User writes a user with these permissions as nats-server's configuration has it,
// with a password to be filled in.
func (p Permissions) User(name string) string {
	return fmt.Sprintf(`{ user: %s, password: "…", permissions: {
    publish: { allow: [%s] }
    subscribe: { allow: [%s] }
} }`, quote(name), quoteAll(p.Publish.Allow), quoteAll(p.Subscribe.Allow))
}

func quoteAll(subjects []string) string {
	var b strings.Builder
	for _, s := range subjects {
		b.WriteString("\n        " + quote(s))
	}
	return b.String() + "\n    "
}

// quote writes a subject or name of ours, which has no quotes in it.
func quote(s string) string { return `"` + s + `"` }
