package publisher

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// A stream that is deleted while there is nothing to publish is made and filled again
// within seconds, though no event comes.
func TestADeletedStreamIsFilledAgainWithoutAnEvent(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(context.Context, jetstream.JetStream) error{
		"deleted": func(ctx context.Context, js jetstream.JetStream) error { return js.DeleteStream(ctx, StreamName) },
		"deleted and made again": func(ctx context.Context, js jetstream.JetStream) error {
			err := js.DeleteStream(ctx, StreamName)
			if err == nil {
				_, err = js.CreateStream(ctx, require(jetstream.StreamConfig{Replicas: 1}, false))
			}
			return err
		},
	} {
		for where, start := range map[string]func(t *testing.T) (Options, jetstream.JetStream){
			"external": func(t *testing.T) (Options, jetstream.JetStream) {
				b := startBus(t)
				return Options{URL: b.url()}, b.js()
			},
			"embedded": func(t *testing.T) (Options, jetstream.JetStream) {
				s := startServer(t, ServerOptions{})
				_, js := writer(t, s)
				return Options{Server: s}, js
			},
		} {
			t.Run(name+", "+where, func(t *testing.T) {
				t.Parallel()
				log := newOutbox(40)
				o, js := start(t)
				o.Source = log.source()
				p, _ := run(t, o)
				eventually(t, "published", caughtUp(p, log))
				if err := damage(t.Context(), js); err != nil {
					t.Fatal(err)
				}
				holds(t, js, 40)
				eventually(t, "the publisher knows", func() bool {
					st := p.Status()
					return st.LastError == nil && st.Position == log.last() && st.Published == 80
				})
				complete(t, js, log.all())
			})
		}
	}
}

// A standby looks too: whoever publishes may be gone.
func TestAStandbyMakesADeletedStreamAgain(t *testing.T) {
	t.Parallel()
	b := startBus(t)
	p, err := New(Options{URL: b.url(), Source: newOutbox(0).source(), Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	p.conflicts = 2
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	eventually(t, "it stands by", func() bool { return p.Status().Standby })
	if err := b.js().DeleteStream(t.Context(), StreamName); err != nil {
		t.Fatal(err)
	}
	holds(t, b.js(), 0)
	eventually(t, "it stands by again", func() bool { return p.Status().Standby })
}
