package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// readersBus is an external server with the accounts that AccountsConfig prescribes
// and the readers that ConsumerPermissions does, and a stream with n events.
func readersBus(t *testing.T, n int) (b *bus, log *outbox, admin jetstream.JetStream) {
	t.Helper()
	config := AccountsConfig()
	for _, organization := range []string{"acme", "globex"} {
		user := ConsumerPermissions(organization, "").User(organization)
		config = strings.Replace(config, "# one for each", user+"\n# one for each", 1)
	}
	b = startBusWith(t, strings.ReplaceAll(config, "…", "p"))
	log = newOutbox(n)
	p, _ := run(t, Options{URL: b.url(), Source: log.source(), Connect: []nats.Option{nats.UserInfo(publisherUser, "p")}})
	eventually(t, "published", caughtUp(p, log))
	admin = b.js(nats.UserInfo("admin", "p"))
	for _, organization := range []string{"acme", "globex"} {
		c := Consumer{Organization: organization}
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		if _, err := AddConsumer(t.Context(), admin, c, false); err != nil {
			t.Fatal(err)
		}
	}
	return b, log, admin
}

// reader connects as the user of an organization and counts what it is denied.
func reader(t *testing.T, b *bus, organization string) (*nats.Conn, *atomic.Int32) {
	t.Helper()
	denied := new(atomic.Int32)
	nc, err := nats.Connect(b.url(), nats.UserInfo(organization, "p"), nats.CustomInboxPrefix(InboxPrefix(organization)),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				denied.Add(1)
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc, denied
}

// fetch takes and acknowledges n messages of a consumer and returns their ids.
func fetch(t *testing.T, c jetstream.Consumer, n int) (ids []string) {
	t.Helper()
	for range n {
		m, err := c.Next(jetstream.FetchMaxWait(5 * time.Second))
		if err != nil {
			t.Fatalf("after %d of %d messages: %v", len(ids), n, err)
		}
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, m.Headers().Get("ce-id"))
	}
	return ids
}

func idsOf(log *outbox, organization string) (ids []string) {
	for _, m := range log.all() {
		if m.Organization == organization {
			ids = append(ids, m.EventID())
		}
	}
	return ids
}

func TestAReaderHasItsOwnEventsAtItsPaceAndLive(t *testing.T) {
	t.Parallel()
	b, log, _ := readersBus(t, 12)
	nc, denied := reader(t, b, "acme")
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	own, err := js.Consumer(t.Context(), StreamName, ConsumerName("acme", ""))
	if err != nil {
		t.Fatal(err)
	}
	want := idsOf(log, "acme")
	if got := fetch(t, own, len(want)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	again, err := nc.Request("$JS.API.CONSUMER.RESET."+StreamName+".acme", []byte(`{"seq":1}`), 5*time.Second)
	if err != nil || strings.Contains(string(again.Data), `"error"`) {
		t.Fatalf("it cannot start over: %v %v", again, err)
	}
	if got := fetch(t, own, len(want)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("after the reset: got %v, want %v", got, want)
	}
	live := subscribe(t, nc, "pm.v1.acme.>")
	log.add(3)
	m, err := live.NextMsg(10 * time.Second)
	if all := idsOf(log, "acme"); err != nil || m.Header.Get("ce-id") != all[len(all)-1] {
		t.Errorf("live: %v, %v", m, err)
	}
	if n := denied.Load(); n != 0 {
		t.Errorf("%d of its own requests were denied", n)
	}
}

// Everything that one organization's reader could try against the stream, against
// another's consumer, or for events that are not its own.
func TestAReaderCannotReachBeyondItsOrganization(t *testing.T) {
	t.Parallel()
	b, log, admin := readersBus(t, 12)
	other, err := admin.Consumer(t.Context(), StreamName, "globex")
	if err != nil {
		t.Fatal(err)
	}
	nc, denied := reader(t, b, "acme")
	config := func(name string, c string) string {
		return fmt.Sprintf(`{"stream_name":%q,"config":{"name":%q,"durable_name":%q,"ack_policy":"explicit"%s}}`, StreamName, name, name, c)
	}
	refused := []struct{ what, subject, body string }{
		{"another's durable", "$JS.API.CONSUMER.MSG.NEXT." + StreamName + ".globex", `{"batch":1}`},
		{"a look at another's durable", "$JS.API.CONSUMER.INFO." + StreamName + ".globex", ``},
		{"a reset of another's durable", "$JS.API.CONSUMER.RESET." + StreamName + ".globex", `{"seq":1}`},
		{"an acknowledgement for another", "$JS.ACK." + StreamName + ".globex.1.1.1.1.0", `+TERM`},
		{"the hijack: another's durable with one's own filter", "$JS.API.CONSUMER.CREATE." + StreamName + ".globex.pm.v1.acme.>", config("globex", `,"filter_subject":"pm.v1.acme.>"`)},
		{"the same the old way", "$JS.API.CONSUMER.DURABLE.CREATE." + StreamName + ".globex", config("globex", `,"filter_subject":"pm.v1.acme.>"`)},
		{"a consumer of everything", "$JS.API.CONSUMER.CREATE." + StreamName + ".mine", config("mine", "")},
		{"an unnamed consumer", "$JS.API.CONSUMER.CREATE." + StreamName, config("", "")},
		{"one's own durable without its filter", "$JS.API.CONSUMER.CREATE." + StreamName + ".acme", config("acme", "")},
		{"another's durable deleted", "$JS.API.CONSUMER.DELETE." + StreamName + ".globex", ``},
		{"another's durable paused", "$JS.API.CONSUMER.PAUSE." + StreamName + ".globex", `{"pause_until":"2099-01-01T00:00:00Z"}`},
		{"the list of consumers", "$JS.API.CONSUMER.NAMES." + StreamName, ``},
		{"a message by its sequence", "$JS.API.STREAM.MSG.GET." + StreamName, `{"seq":1}`},
		{"a message directly", "$JS.API.DIRECT.GET." + StreamName, `{"seq":1}`},
		{"a message directly by subject", "$JS.API.DIRECT.GET." + StreamName + ".pm.v1.globex.payment_method.expiring", ``},
		{"the stream's settings", "$JS.API.STREAM.INFO." + StreamName, ``},
		{"the stream deleted", "$JS.API.STREAM.DELETE." + StreamName, ``},
		{"the stream purged", "$JS.API.STREAM.PURGE." + StreamName, ``},
		{"the stream changed", "$JS.API.STREAM.UPDATE." + StreamName, `{"name":"PM_EVENTS","subjects":["pm.v1.>"]}`},
		{"a forged event", "_pm.in.v1.acme.payment_method.expiring", `{"id":"evt_forged"}`},
		{"a forged event for live readers", "pm.v1.globex.payment_method.expiring", `{"id":"evt_forged"}`},
		{"an answer to the publisher", replyPrefix + ".x", `{}`},
	}
	for i, r := range refused {
		if m, err := nc.Request(r.subject, []byte(r.body), 40*time.Millisecond); err == nil {
			t.Errorf("%s is answered: %s", r.what, m.Data)
		}
		eventually(t, r.what+" is denied", func() bool { return int(denied.Load()) > i })
	}
	for _, subject := range []string{"pm.v1.>", "pm.v1.globex.>", "pm.v1.*.payment_method.expiring", "_INBOX_globex.>", "_INBOX.>", "_pm.>", "$JS.>", ">"} {
		before := denied.Load()
		if _, err := nc.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a subscription to "+subject+" is denied", func() bool { return denied.Load() > before })
	}
	redirected(t, nc)
	log.add(3)
	eventually(t, "the stream goes on", func() bool { return describe(admin).State.LastSeq == 15 })
	complete(t, admin, log.all())
	info, err := other.Info(t.Context())
	if err != nil || info.Config.FilterSubject != "pm.v1.globex.>" || info.PauseRemaining > 0 {
		t.Fatalf("the other's consumer is now %+v, %v", info, err)
	}
	if got, want := fetch(t, other, 5), idsOf(log, "globex"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the other's consumer gives %v, want %v", got, want)
	}
}

// redirected makes permitted requests whose answers are to go to the stream: the
// server checks no permission for a reply.
func redirected(t *testing.T, nc *nats.Conn) {
	t.Helper()
	for _, target := range []string{"_pm.in.v1.acme.payment_method.expiring", "$JS.API.STREAM.DELETE." + StreamName} {
		for subject, body := range map[string]string{
			"$JS.API.CONSUMER.INFO." + StreamName + ".acme":     ``,
			"$JS.API.CONSUMER.MSG.NEXT." + StreamName + ".acme": `{"batch":2,"expires":100000000}`,
			"$JS.API.CONSUMER.RESET." + StreamName + ".acme":    `{"seq":1}`,
			"$JS.ACK." + StreamName + ".acme.1.1.1.1.0":         `+NXT`,
		} {
			if err := nc.PublishRequest(subject, target, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// The permissions name the consumer that AddConsumer makes, and no organization can
// have a consumer of another's name.
func TestConsumersOfOrganizationsHaveNamesOfTheirOwn(t *testing.T) {
	taken := map[string]string{}
	for _, organization := range []string{"a", "a-b", "a_b", "b", "A"} {
		for _, name := range []string{"", "b", "a", "a-b", "x"} {
			full := ConsumerName(organization, name)
			if by := taken[full]; by != "" {
				t.Errorf("%s and %s both have the consumer %s", by, organization, full)
			}
			taken[full] = organization
			text, err := json.Marshal(ConsumerPermissions(organization, name))
			if err != nil || strings.Contains(string(text), "*") || !strings.Contains(string(text), "MSG.NEXT.PM_EVENTS."+full+`"`) {
				t.Errorf("permissions %s, %v", text, err)
			}
		}
	}
}

func TestConsumersAreCheckedBeforeTheyBecomeSubjects(t *testing.T) {
	for _, c := range []Consumer{
		{Organization: ""}, {Organization: "a.b"}, {Organization: "*"}, {Organization: ">"}, {Organization: "a b"}, {Organization: strings.Repeat("a", 65)},
		{Organization: "a", Name: "x.y"}, {Organization: "a", Name: "+"},
		{Organization: "a", Types: []string{"payment_method"}}, {Organization: "a", Types: []string{">"}}, {Organization: "a", Types: []string{"*.*"}},
		{Organization: "a", Types: []string{"payment_method.>"}}, {Organization: "a", Types: []string{"a.b.c"}}, {Organization: "a", Types: []string{"a. "}},
		{Organization: "a", Types: []string{"payment_method.*", "payment_method.expired"}}, {Organization: "a", Types: []string{"x.y", "x.y"}},
		{Organization: "a", MaxAckPending: -1}, {Organization: "a", MaxAckPending: 1001},
	} {
		if c.Validate() == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	err := Consumer{Organization: "a b", Name: "c d", Types: []string{"e"}, MaxAckPending: -1}.Validate()
	if err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("not every fault is named: %v", err)
	}
}

func TestAConsumerIsMadeOnceChangedInPlaceAndRemoved(t *testing.T) {
	t.Parallel()
	log, b := newOutbox(12), startBus(t)
	js := b.js()
	c := Consumer{Organization: "acme", Name: "mails", Types: []string{"payment_method.*"}}
	if _, err := AddConsumer(t.Context(), js, c, false); err == nil || !strings.Contains(err.Error(), "not there yet") {
		t.Errorf("without a stream: %v", err)
	}
	p, _ := run(t, Options{URL: b.url(), Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	for range 2 {
		info, err := AddConsumer(t.Context(), js, c, false)
		if err != nil || info.Name != "acme+mails" || info.Config.AckPolicy != jetstream.AckExplicitPolicy || info.Config.MaxAckPending != 1 || len(info.Config.BackOff) == 0 {
			t.Fatalf("%+v, %v", info, err)
		}
	}
	consumer, err := js.Consumer(t.Context(), StreamName, "acme+mails")
	if err != nil {
		t.Fatal(err)
	}
	var want []string // of acme, every other message is about a payment method
	for _, m := range log.all() {
		if m.Organization == "acme" && strings.HasPrefix(m.Type, "payment_method.") {
			want = append(want, m.EventID())
		}
	}
	fetch(t, consumer, 1)
	c.MaxAckPending = 10
	if _, err := AddConsumer(t.Context(), js, c, false); !errors.Is(err, ErrConsumerDiffers) {
		t.Errorf("other settings: %v", err)
	}
	if info, err := AddConsumer(t.Context(), js, c, true); err != nil || info.Config.MaxAckPending != 10 || info.AckFloor.Consumer != 1 {
		t.Errorf("changed: %+v, %v", info, err)
	}
	if got := fetch(t, consumer, len(want)-1); fmt.Sprint(got) != fmt.Sprint(want[1:]) {
		t.Errorf("it gives %v after %v", got, want[0])
	}
	if all, err := ListConsumers(t.Context(), js); err != nil || len(all) != 1 || OrganizationOf(all[0]) != "acme" {
		t.Errorf("listed: %v, %v", all, err)
	}
	if err := RemoveConsumer(context.Background(), js, "acme", "mails"); err != nil {
		t.Error(err)
	}
	if err := RemoveConsumer(context.Background(), js, "acme", "mails"); !errors.Is(err, ErrNoConsumer) {
		t.Errorf("removed again: %v", err)
	}
}
