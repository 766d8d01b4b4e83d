package projections_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections"
)

func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func appendRaw(t *testing.T, l *ledger, stream string, version uint64, name string, data string) eventstore.Position {
	t.Helper()
	r := record(t, stream, int(version), name, []byte(data), l.now)
	at, err := l.store.Append(t.Context(), stream, version, []eventstore.NewRecord{r})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func key(id string) domain.CreateKey {
	return domain.CreateKey{Mode: domain.ModeTest, Key: domain.APIKey{ID: id, MAC: "00", Scopes: []string{"keys.admin"}}}
}

// Each row is a record that the customers projection cannot apply.
func TestAProjectionHaltsAtWhatItCannotApply(t *testing.T) {
	known := domain.NewMethodID([16]byte{1})
	for name, poison := range map[string]struct{ typ, data, cause string }{
		"an unknown type":                {"payment_method.teleported", `{}`, "unknown event type"},
		"data that cannot be read":       {"payment_method.paused", `{"payment_method_id":7}`, "decode payment_method.paused"},
		"a method never attached":        {"payment_method.paused", `{"payment_method_id":"` + string(known) + `"}`, "attached before"},
		"what is no method id":           {"payment_method.paused", `{"payment_method_id":"pm_xyz"}`, "not a payment method id"},
		"an event of another stream":     {"api_key.revoked", `{"key_id":"k"}`, "not an event of a customer"},
		"an attach to another customer":  {"payment_method.attached", `{"payment_method_id":"` + string(known) + `","organization_id":"acme","customer_id":"cus_9"}`, "belongs to another"},
		"a default that starts from air": {"customer.default_payment_method_changed", `{"from":"` + string(known) + `"}`, "at most one default"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t)
			before := l.attach("acme", "cus_1")
			at := appendRaw(t, l, "customer-acme+cus_2", 0, poison.typ, poison.data)
			after := l.attach("acme", "cus_3")
			l.execute("organization-acme", key("k1"))
			v := views(l)

			err := v.Wait(bounded(t), at)
			var halted *projections.HaltedError
			if !errors.As(err, &halted) {
				t.Fatalf("Wait: %v", err)
			}
			if halted.Projection != "customers" || halted.Position != at || halted.Type != poison.typ || !strings.Contains(err.Error(), poison.cause) {
				t.Errorf("halted: %v", halted)
			}
			if err := v.Wait(bounded(t), at-1); err != nil {
				t.Errorf("what lies before it was not applied: %v", err)
			}
			if _, found, err := v.Method("acme", before); !found || err != nil {
				t.Errorf("the method before: %v %v", found, err)
			}
			if _, found, err := v.Method("acme", after); found || err != nil {
				t.Errorf("the method after: %v %v", found, err)
			}
			othersGoOn(t, v, l)
		})
	}
}

// othersGoOn waits until the organizations projection has applied the whole log.
func othersGoOn(t *testing.T, v *running, l *ledger) {
	t.Helper()
	head, err := l.store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for bounded := bounded(t); ; {
		status := statusOf(t, v.Views, "organizations")
		if status.Position == head && status.Halted == nil {
			break
		}
		if bounded.Err() != nil {
			t.Fatalf("status: %+v", status)
		}
		time.Sleep(time.Millisecond)
	}
	if _, found := v.Key("k1"); !found {
		t.Error("the key is not there")
	}
}

// statusOf tells how a projection fares.
func statusOf(t *testing.T, v *projections.Views, name string) projections.Status {
	t.Helper()
	for _, s := range v.Status() {
		if s.Projection == name {
			return s
		}
	}
	t.Fatalf("there is no projection %s", name)
	return projections.Status{}
}

// A record that no release knows where to put may concern every projection.
func TestAnUnknownEventOfAnUnknownStreamHaltsAll(t *testing.T) {
	l := newLedger(t)
	at := appendRaw(t, l, "warehouse-acme", 0, "shelf.emptied", `{}`)
	v := views(l)
	var halted *projections.HaltedError
	if err := v.Wait(bounded(t), at); !errors.As(err, &halted) {
		t.Fatalf("Wait: %v", err)
	}
	for _, s := range v.Status() {
		if s.Halted == nil {
			t.Errorf("%s goes on", s.Projection)
		}
	}
}

func TestAHaltIsLoggedOnceAndTriedAgainAtTheNextStart(t *testing.T) {
	l := newLedger(t)
	l.attach("acme", "cus_1")
	appendRaw(t, l, "customer-acme+cus_2", 0, "payment_method.teleported", `{}`)
	o := options("views")
	for range 2 {
		var out bytes.Buffer
		o.Logger = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))
		v := start(t, l.store, o)
		var halted *projections.HaltedError
		if err := v.Wait(bounded(t), 3); !errors.As(err, &halted) {
			t.Fatalf("Wait: %v", err)
		}
		if err := v.WaitMessages(bounded(t), 2); !errors.As(err, &halted) {
			t.Errorf("WaitMessages: %v", err)
		}
		v.stop()
		if n := strings.Count(out.String(), "payment_method.teleported"); strings.Count(out.String(), "has halted") != 1 || n == 0 {
			t.Errorf("log: %s", out.String())
		}
	}
}

// What lies before the halt in its batch is applied twice; it must not show.
func TestWhatIsAppliedAgainAfterAHaltIsAppliedOnce(t *testing.T) {
	l := newLedger(t)
	o := options("views")
	v := start(t, l.store, o)
	id := l.attach("acme", "cus_1")
	v.caughtUp(l.store)
	v.stop()
	external := "ext_1"
	updated := l.execute("customer-acme+cus_1", domain.UpdateMethod{MethodID: id, ExternalID: &external})
	appendRaw(t, l, "customer-acme+cus_2", 0, "payment_method.teleported", `{}`)

	v = start(t, l.store, o)
	if err := v.Wait(bounded(t), updated.Position); err != nil {
		t.Fatal(err)
	}
	messages, err := v.Messages(updated.Position-1, 10)
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	if want := `"previous_attributes":{"external_id":null}`; messages[0].OrgSeq != 3 || !strings.Contains(string(messages[0].Body), want) {
		t.Errorf("message %d lacks %s: %s", messages[0].OrgSeq, want, messages[0].Body)
	}
}

// paused is a gate that a test opens.
type paused struct{ open chan struct{} }

func (p paused) check() error {
	select {
	case <-p.open:
		return nil
	default:
		return fmt.Errorf("%w: only 3 bytes are free", eventstore.ErrFull)
	}
}

func TestTheViewsPauseWhileTheVolumeIsFull(t *testing.T) {
	l := newLedger(t)
	gate := paused{make(chan struct{})}
	asked := make(chan struct{}, 1000)
	o := options("views")
	o.Gate = func() error {
		asked <- struct{}{}
		return gate.check()
	}
	v := start(t, l.store, o)
	id := l.attach("acme", "cus_1")
	<-asked
	<-asked
	if v.Position() != 0 {
		t.Errorf("the views are at %s though the gate is closed", v.Position())
	}
	close(gate.open)
	v.caughtUp(l.store)
	if _, found, err := v.Method("acme", id); !found || err != nil {
		t.Errorf("after the pause: %v %v", found, err)
	}
}

// flaky is a log that fails while it is followed, now and then.
type flaky struct {
	eventstore.Store
	fail chan error
}

func (f flaky) Follow(ctx context.Context, after eventstore.Position) iter.Seq2[[]eventstore.Record, error] {
	return func(yield func([]eventstore.Record, error) bool) {
		select {
		case err := <-f.fail:
			yield(nil, err)
			return
		default:
		}
		for batch, err := range f.Store.Follow(ctx, after) {
			if !yield(batch, err) || err != nil {
				return
			}
			select {
			case err := <-f.fail:
				yield(nil, err)
				return
			default:
			}
		}
	}
}

func TestTheLogIsFollowedAgainAfterItFailed(t *testing.T) {
	l := newLedger(t)
	f := flaky{l.store, make(chan error, 2)}
	f.fail <- eventstore.ErrUnavailable
	f.fail <- eventstore.ErrUnavailable
	v := start(t, f, options("views"))
	l.attach("acme", "cus_1")
	v.caughtUp(l.store)
	if len(f.fail) != 0 {
		t.Error("nothing failed")
	}
}

func TestRunEndsWhenTheStoreIsClosed(t *testing.T) {
	l := newLedger(t)
	v := open(t, l.store, options("views"))
	if err := l.store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := v.Run(bounded(t)); !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("Run: %v", err)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}

func TestAWaiterIsWokenByWhatItWaitsForAndByItsContext(t *testing.T) {
	l := newLedger(t)
	v := views(l)
	woken := make(chan error, 2)
	go func() { woken <- v.Wait(bounded(t), 2) }()
	go func() { woken <- v.WaitMessages(bounded(t), 1) }()
	l.attach("acme", "cus_1")
	for range 2 {
		if err := <-woken; err != nil {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { woken <- v.Wait(ctx, 1000) }()
	go func() { woken <- v.WaitMessages(ctx, 1000) }()
	cancel()
	for range 2 {
		if err := <-woken; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}
