package projections_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections"
)

// walk reads all pages of a list of methods and returns their ids.
func walk(t fataler, v *projections.Views, organization string, q projections.MethodQuery, between func()) []string {
	var ids []string
	for pages := 0; ; pages++ {
		page, err := v.Methods(organization, q)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		if len(page.Items) > q.Limit || pages > 1000 {
			t.Fatalf("%+v: a page of %d after %d pages", q, len(page.Items), pages)
		}
		ids = append(ids, idsIn(t, page)...)
		if page.Next == "" {
			return ids
		}
		q.After = page.Next
		between()
	}
}

type fataler interface {
	Fatalf(format string, args ...any)
}

func idsIn(t fataler, page projections.Page) []string {
	var ids []string
	for _, item := range page.Items {
		o, err := object(item)
		if err != nil {
			t.Fatalf("%v in %s", err, item)
		}
		ids = append(ids, o["id"].(string))
	}
	return ids
}

func TestListsAreWhatFilteringTheFoldGives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{ledger: newLedger(t)}
		v := views(w.ledger)
		defer v.stop()
		for range 3 { // what was listed before is listed again
			w.live(rt, rapid.IntRange(1, 20).Draw(rt, "commands"))
			v.caughtUp(w.store)
			listsAreTheFold(rt, w, v.Views)
		}
	})
}

func listsAreTheFold(rt *rapid.T, w *world, v *projections.Views) {
	_, states, err := w.replay()
	if err != nil {
		rt.Fatal(err)
	}
	for range 8 {
		organization := rapid.SampledFrom(someOrganizations).Draw(rt, "organization")
		q := w.query(rt)
		var want []string
		for _, m := range newestFirst(states, organization) {
			if wanted(q, m) {
				want = append(want, string(m.ID))
			}
		}
		if got := walk(rt, v, organization, q, func() {}); !slices.Equal(got, want) {
			rt.Fatalf("%s %+v:\n got %v\nwant %v", organization, q, got, want)
		}
	}
}

// Lists of a customer are kept in memory up to a length.
func TestACustomersListGrows(t *testing.T) {
	l := newLedger(t)
	v := views(l)
	defer v.stop()
	var want []string
	for n := range 135 {
		cmd := l.card()
		l.execute(stream("cus_1"), cmd)
		want = append([]string{string(cmd.MethodID)}, want...)
		v.caughtUp(l.store)
		q := projections.MethodQuery{Customer: "cus_1", Limit: projections.MaxLimit}
		if got := walk(t, v.Views, "acme", q, func() {}); !slices.Equal(got, want) {
			t.Fatalf("after %d attaches:\n got %v\nwant %v", n+1, got, want)
		}
	}
}

func (w *world) query(rt *rapid.T) projections.MethodQuery {
	maybe := func(name string) bool { return rapid.IntRange(0, 3).Draw(rt, name) == 0 }
	q := projections.MethodQuery{Limit: rapid.IntRange(1, 5).Draw(rt, "limit"), IncludeRemoved: rapid.Bool().Draw(rt, "removed")}
	if maybe("by customer") {
		q.Customer = rapid.SampledFrom(someCustomers).Draw(rt, "customer")
	}
	if maybe("by type") {
		q.Type = rapid.SampledFrom(someTypes).Draw(rt, "type")
	}
	if maybe("by status") {
		q.Status = rapid.SampledFrom(domain.Statuses).Draw(rt, "status")
	}
	if maybe("by default") {
		on := rapid.Bool().Draw(rt, "default")
		q.IsDefault = &on
	}
	if maybe("by verified") {
		on := rapid.Bool().Draw(rt, "verified")
		q.Verified = &on
	}
	if maybe("by provider") {
		q.Provider = "stripe"
	}
	if maybe("by token") {
		q.ProviderID = "tok_" + few(rt, "token")
	}
	if maybe("by fingerprint") {
		q.Fingerprint = few(rt, "fingerprint")
	}
	if maybe("by external id") {
		q.ExternalID = few(rt, "external id")
	}
	if maybe("by expiry") {
		q.ExpiringBefore = epoch.AddDate(0, rapid.IntRange(-1, 4).Draw(rt, "months"), 0)
	}
	if maybe("created after") {
		q.CreatedAfter = w.sometime(rt)
	}
	if maybe("created before") {
		q.CreatedBefore = w.sometime(rt)
	}
	return q
}

// sometime is a time near those at which things happened, not always in whole milliseconds.
func (w *world) sometime(rt *rapid.T) time.Time {
	at := epoch.Add(time.Duration(rapid.IntRange(-1, int(w.now.Sub(epoch).Milliseconds())+1).Draw(rt, "at")) * time.Millisecond)
	return at.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 999_999}).Draw(rt, "nanoseconds")))
}

// wanted is the query's meaning in the plainest words.
func wanted(q projections.MethodQuery, m *domain.Method) bool {
	return (q.IncludeRemoved || m.Status != domain.StatusDetached) &&
		(q.Customer == "" || m.Customer == q.Customer) &&
		(q.Type == "" || m.Type == q.Type) &&
		(q.Status == "" || m.Status == q.Status) &&
		(q.IsDefault == nil || m.IsDefault == *q.IsDefault) &&
		(q.Verified == nil || (m.Verification.Status == domain.Verified) == *q.Verified) &&
		(q.Provider == "" || m.Provider == q.Provider) &&
		(q.ProviderID == "" || m.ProviderID == q.ProviderID) &&
		(q.Fingerprint == "" || m.Fingerprint == q.Fingerprint) &&
		(q.ExternalID == "" || m.ExternalID == q.ExternalID) &&
		(q.ExpiringBefore.IsZero() || !m.ExpiresAt.IsZero() && m.ExpiresAt.Before(q.ExpiringBefore)) &&
		(q.CreatedAfter.IsZero() || m.CreatedAt.After(q.CreatedAfter)) &&
		(q.CreatedBefore.IsZero() || m.CreatedAt.Before(q.CreatedBefore))
}

func TestEventListsAreWhatFilteringTheLogGives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{ledger: newLedger(t)}
		v := views(w.ledger)
		defer v.stop()
		w.live(rt, rapid.IntRange(1, 40).Draw(rt, "commands"))
		v.caughtUp(w.store)
		steps, _, err := w.replay()
		if err != nil {
			rt.Fatal(err)
		}
		for range 6 {
			organization := rapid.SampledFrom(someOrganizations).Draw(rt, "organization")
			q := projections.EventQuery{Limit: rapid.IntRange(1, 5).Draw(rt, "limit"), Ascending: rapid.Bool().Draw(rt, "ascending")}
			if rapid.Bool().Draw(rt, "by customer") {
				q.Customer = rapid.SampledFrom(someCustomers).Draw(rt, "customer")
			}
			if len(w.methods) > 0 && rapid.Bool().Draw(rt, "by method") {
				q.Method = rapid.SampledFrom(w.methods).Draw(rt, "method").id
			}
			if rapid.Bool().Draw(rt, "by type") {
				q.Type = rapid.SampledFrom([]string{"payment_method.updated", "customer.default_payment_method_changed"}).Draw(rt, "type")
			}
			want := eventsWanted(steps, organization, q)
			if got := walkEvents(rt, v.Views, organization, q); !slices.Equal(got, want) {
				rt.Fatalf("%s %+v:\n got %v\nwant %v", organization, q, got, want)
			}
		}
	})
}

func eventsWanted(steps []step, organization string, q projections.EventQuery) []string {
	var want []string
	for _, s := range steps {
		name := domain.PublicName(s.event)
		_, o, customer := domain.StreamOwner(s.record.Stream)
		if name == "" || o != organization || q.Customer != "" && customer != q.Customer || q.Type != "" && name != q.Type ||
			q.Method != "" && !slices.Contains(s.methods(), q.Method) {
			continue
		}
		want = append(want, domain.EventID(s.record.ID))
	}
	if !q.Ascending {
		slices.Reverse(want)
	}
	return want
}

func walkEvents(t fataler, v *projections.Views, organization string, q projections.EventQuery) []string {
	var ids []string
	for {
		page, err := v.Events(organization, q)
		if err != nil || len(page.Items) > q.Limit {
			t.Fatalf("%+v: %d items, %v", q, len(page.Items), err)
		}
		ids = append(ids, idsIn(t, page)...)
		if page.Next == "" {
			return ids
		}
		q.After = page.Next
	}
}

func TestAWalkShowsEachMethodOnceWhileOthersAreAttached(t *testing.T) {
	l := newLedger(t)
	v := views(l)
	var want []string
	for range 30 {
		want = append(want, string(l.attach("acme", "cus_1")))
	}
	slices.Reverse(want)
	v.caughtUp(l.store)
	got := walk(t, v.Views, "acme", projections.MethodQuery{Limit: 4}, func() {
		l.now = l.now.Add(time.Millisecond)
		l.attach("acme", "cus_2")
		v.caughtUp(l.store)
	})
	if !slices.Equal(got, want) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
}

// A filter that hardly anything passes costs one page no more than ScanLimit
// rows, and the walk still finds everything.
func TestARareMatchIsFoundInBoundedPages(t *testing.T) {
	l := newLedger(t)
	v := views(l)
	rare := l.card()
	rare.Type, rare.Facts = domain.TypeTwint, factsOf(domain.TypeTwint)
	l.execute("customer-acme+cus_0", rare)
	bulk(t, l, projections.ScanLimit+5)
	v.caughtUp(l.store)
	q := projections.MethodQuery{Type: domain.TypeTwint, Limit: 5}
	page, err := v.Methods("acme", q)
	if err != nil || len(page.Items) != 0 || page.Next == "" {
		t.Fatalf("first page: %d items, next %q, %v; want none yet and a next", len(page.Items), page.Next, err)
	}
	if got := walk(t, v.Views, "acme", q, func() {}); !slices.Equal(got, []string{string(rare.MethodID)}) {
		t.Errorf("the walk found %v", got)
	}
	// So many expire that the list of expiries is no help.
	late := projections.MethodQuery{ExpiringBefore: epoch.AddDate(20, 0, 0), Limit: 100}
	if got := walk(t, v.Views, "acme", late, func() {}); len(got) != projections.ScanLimit+5 {
		t.Errorf("%d methods expire", len(got))
	}
}

// bulk attaches n cards to customers of acme without asking the ledger.
func bulk(t testing.TB, l *ledger, n int) {
	t.Helper()
	for i := range n {
		cmd := l.card()
		stream := fmt.Sprintf("customer-acme+bulk_%d", i)
		events := []domain.Event{
			domain.MethodAttached{
				MethodID: cmd.MethodID, Organization: "acme", Customer: fmt.Sprintf("bulk_%d", i), Facts: cmd.Facts, FactsFrom: "gateway",
				Provider: cmd.Provider, ProviderID: cmd.ProviderID, Status: domain.StatusActive,
				Verification: domain.Verification{Status: domain.Unverified}, ExpiresAt: domain.CardExpiry(2034, 12, time.UTC),
			},
			domain.DefaultChanged{To: cmd.MethodID, Cause: domain.CausePolicy},
		}
		appendEvents(t, l.store, stream, l.now, events...)
	}
}

// appendEvents writes events as the first records of a stream.
func appendEvents(t testing.TB, store eventstore.Store, stream string, at time.Time, events ...domain.Event) {
	t.Helper()
	records := make([]eventstore.NewRecord, len(events))
	for i, e := range events {
		name, data, err := domain.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		records[i] = record(t, stream, i, name, data, at)
	}
	if _, err := store.Append(t.Context(), stream, 0, records); err != nil {
		t.Fatal(err)
	}
}

func record(t testing.TB, stream string, index int, name string, data []byte, at time.Time) eventstore.NewRecord {
	t.Helper()
	metadata := eventstore.Metadata{Time: at, Schema: domain.Schema, Prev: eventstore.NoPrev, CommandID: "bulk"}.Encode()
	return eventstore.NewRecord{ID: eventstore.EventID(stream, "bulk", index), Type: name, Data: data, Metadata: metadata}
}

// Every list holds a method once, under what it is now, and nothing it was.
func TestListsForgetWhatAMethodWas(t *testing.T) {
	l := newLedger(t)
	v := views(l)
	cmd := l.card()
	cmd.ExternalID = "ext_before"
	l.execute("customer-acme+cus_1", cmd)
	external, provider, token := "ext_after", "stripe", "tok_after"
	l.execute("customer-acme+cus_1", domain.UpdateMethod{MethodID: cmd.MethodID, ExternalID: &external, Provider: &provider, ProviderID: &token})
	l.execute("customer-acme+cus_1", domain.DetachMethod{MethodID: cmd.MethodID})
	v.caughtUp(l.store)
	entries := map[byte]string{}
	for line := range strings.Lines(dump(t, v.Views)) {
		if key, err := strconv.QuotedPrefix(line); err == nil && strings.HasSuffix(line, ` ""`+"\n") && !strings.ContainsRune("abeh", rune(key[1])) {
			entries[key[1]] += key
		}
	}
	if _, found := entries['x']; found || len(entries) != 5 {
		t.Errorf("entries in %d lists (with expiry: %v), want 5 (without)", len(entries), found)
	}
	for list, want := range map[byte]string{'o': "acme", 'c': "cus_1", 'f': cmd.Facts.Fingerprint, 'y': external, 't': token} {
		if got := entries[list]; strings.Count(got, "acme") != 1 || !strings.Contains(got, want) {
			t.Errorf("list %c: %s, want one entry under %s", list, got, want)
		}
	}
}

func TestAForeignCursorIsRefused(t *testing.T) {
	l := newLedger(t)
	v := views(l)
	for _, cursor := range []string{"x", "00", "0011223344556677"} {
		if _, err := v.Methods("acme", projections.MethodQuery{After: cursor}); err != projections.ErrCursor {
			t.Errorf("methods after %q: %v", cursor, err)
		}
	}
	if _, err := v.Events("acme", projections.EventQuery{After: "00"}); err != projections.ErrCursor {
		t.Errorf("events: %v", err)
	}
}
