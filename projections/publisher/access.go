package publisher

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// The stream lives in an account of its own, and clients in another. One account
// with permissions would not do: a client may name any subject as the reply of a
// request, and the server does not check replies against permissions, so that the
// answer to an innocent request would be stored as an event.
//
// What remains: by the same means a client can send an answer of JetStream, or a
// copy of a stored event, to a public subject, where plain subscribers of its
// account see it. It cannot make up an event; a message without ce-id is none.
const (
	streamAccount = "PMLEDGER"
	clientAccount = "CLIENTS"
)

// clientRequests are the subjects that clients may publish to, all of them
// requests to JetStream about this one stream. None writes, purges, deletes or
// changes it. The second value says whether one request has many answers.
func clientRequests() map[string]bool {
	return map[string]bool{
		"$JS.API.INFO":                                         false,
		"$JS.API.STREAM.NAMES":                                 false,
		"$JS.API.STREAM.LIST":                                  false,
		"$JS.API.STREAM.INFO." + StreamName:                    false,
		"$JS.API.STREAM.MSG.GET." + StreamName:                 false,
		"$JS.API.DIRECT.GET." + StreamName:                     true,
		"$JS.API.DIRECT.GET." + StreamName + ".>":              true,
		"$JS.API.CONSUMER.CREATE." + StreamName:                false,
		"$JS.API.CONSUMER.CREATE." + StreamName + ".>":         false,
		"$JS.API.CONSUMER.DURABLE.CREATE." + StreamName + ".*": false,
		"$JS.API.CONSUMER.NAMES." + StreamName:                 false,
		"$JS.API.CONSUMER.LIST." + StreamName:                  false,
		"$JS.API.CONSUMER.INFO." + StreamName + ".*":           false,
		"$JS.API.CONSUMER.DELETE." + StreamName + ".*":         false,
		"$JS.API.CONSUMER.PAUSE." + StreamName + ".*":          false,
		"$JS.API.CONSUMER.RESET." + StreamName + ".*":          false,
		"$JS.API.CONSUMER.UNPIN." + StreamName + ".*":          false,
		"$JS.API.CONSUMER.MSG.NEXT." + StreamName + ".*":       true,
		"$JS.ACK." + StreamName + ".>":                         false,
		"$JS.FC." + StreamName + ".>":                          false,
	}
}

// clientFeeds are what flows to clients without a request: events as they are
// published, push consumers that deliver to an inbox, and consumer advisories.
func clientFeeds() []string {
	return []string{
		"pm.v1.>",
		"_INBOX.>",
		"$JS.EVENT.ADVISORY.CONSUMER.*." + StreamName + ".>",
	}
}

// admit writes the accounts and users into the server's options.
func (s *Server) admit(o *server.Options) error {
	if err := o.ProcessConfigString(accountsConfig()); err != nil {
		return fmt.Errorf("embedded NATS server: accounts: %w", err)
	}
	accounts := map[string]*server.Account{}
	for _, a := range o.Accounts {
		accounts[a.Name] = a
	}
	o.Users = []*server.User{{Username: publisherUser, Password: s.password, Account: accounts[streamAccount]}}
	client := server.User{Username: s.options.User, Password: s.options.Password, Account: accounts[clientAccount], Permissions: clientPermissions()}
	if client.Username != "" {
		o.Users = append(o.Users, &client)
	}
	if s.options.Anonymous {
		anonymous := client
		anonymous.Username, anonymous.Password = anonymousUser, ""
		o.Users, o.NoAuthUser = append(o.Users, &anonymous), anonymousUser
	}
	return nil
}

func clientPermissions() *server.Permissions {
	p := &server.SubjectPermission{}
	for subject := range clientRequests() {
		p.Allow = append(p.Allow, subject)
	}
	return &server.Permissions{Publish: p}
}

func accountsConfig() string {
	var exports, imports strings.Builder
	for subject, streamed := range clientRequests() {
		response := "Singleton"
		if streamed {
			response = "Stream"
		}
		fmt.Fprintf(&exports, "{service: %q, response_type: %s, accounts: [%s]}\n", subject, response, clientAccount)
		fmt.Fprintf(&imports, "{service: {account: %s, subject: %q}}\n", streamAccount, subject)
	}
	for _, subject := range clientFeeds() {
		fmt.Fprintf(&exports, "{stream: %q, accounts: [%s]}\n", subject, clientAccount)
		fmt.Fprintf(&imports, "{stream: {account: %s, subject: %q}}\n", streamAccount, subject)
	}
	return fmt.Sprintf("accounts {\n%s {\njetstream: enabled\nexports: [\n%s]}\n%s {\nimports: [\n%s]}\n}\n",
		streamAccount, &exports, clientAccount, &imports)
}
