package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The consumer that README shows:

// consume hands every event of an organization to handle: in order, without a gap,
// and none twice. last is the ce-pmorgseq of the last event that was handled.
func consume(ctx context.Context, conn *nats.Conn, organization string, last uint64, handle func(jetstream.Msg) error) error {
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, "PM_EVENTS", jetstream.ConsumerConfig{
		Durable:       "warehouse",
		FilterSubject: "pm.v1." + organization + ".>",
		MaxAckPending: 1, // in order, also when a message is delivered again
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()
	for {
		m, err := messages.Next()
		if err != nil {
			return err
		}
		seq, err := strconv.ParseUint(m.Headers()["ce-pmorgseq"][0], 10, 64)
		switch {
		case err != nil:
			return err
		case seq > last+1:
			return fmt.Errorf("events %d to %d are missing", last+1, seq-1)
		case seq == last+1:
			if err := handle(m); err != nil {
				return errors.Join(err, m.NakWithDelay(time.Second)) // to be delivered again
			}
			last = seq // keep it in the same transaction as what handle wrote
		}
		if err := m.Ack(); err != nil {
			return err
		}
	}
}

// The end of what README shows.

func TestTheConsumerOfTheReadmeHandlesEveryEventOnce(t *testing.T) {
	s := serve(t, t.TempDir())
	someHistory(s)
	count := events(s)
	conn := s.connect()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var first, second []string
	_ = consume(ctx, conn, "demo", 0, func(m jetstream.Msg) error { // ends with the error of handle
		if first = append(first, m.Headers()["ce-id"][0]); len(first) == count/2 {
			return fmt.Errorf("a crash before the message is acknowledged")
		}
		return nil
	})
	err := consume(ctx, conn, "demo", uint64(len(first)), func(m jetstream.Msg) error {
		if second = append(second, m.Headers()["ce-id"][0]); len(first)+len(second) == count {
			cancel()
		}
		return nil
	})
	if ctx.Err() == nil {
		t.Fatal(err)
	}
	all := append(first, second...)
	for i, m := range s.stream(count) {
		if i >= len(all) || all[i] != m.Header["ce-id"][0] {
			t.Fatalf("handled %v, but event %d is %s", all, i+1, m.Header["ce-id"])
		}
	}
}

func TestTheConsumerOfTheReadmeFindsAGap(t *testing.T) {
	s := serve(t, t.TempDir())
	s.attach("cus_1", "tok_visa")
	stop := errors.New("stop")
	handled := 0
	handle := func(jetstream.Msg) error {
		if handled++; handled > 1 {
			return stop
		}
		return nil
	}
	if err := consume(t.Context(), s.connect(), "demo", 0, handle); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	// The first event was acknowledged; a consumer that did not keep it misses it.
	if err := consume(t.Context(), s.connect(), "demo", 0, handle); err == nil || !strings.Contains(err.Error(), "events 1 to 1 are missing") {
		t.Errorf("got %v", err)
	}
}

// TestTheReadmeShowsWhatIsThere compares README with the code above, and
// its table of options with the options there are.
func TestTheReadmeShowsWhatIsThere(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(repository, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("consumer_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(source), "// The consumer that README shows:\n\n")
	shown, _, _ := strings.Cut(rest, "\n// The end of what README shows.")
	if len(shown) < 500 || !strings.Contains(string(readme), "```go\n"+shown+"```") {
		t.Error("the consumer in README is another one than in consumer_test.go")
	}
	for _, o := range options() {
		name := "--" + o.key
		switch {
		case o.isList():
			name = o.key + ":"
		case !o.isFlag:
			name = o.env()
		}
		row := "| `" + name + "` | "
		if o.byDefault != "" && o.byDefault != "false" {
			row += "`" + o.byDefault + "`"
		}
		if !strings.Contains(string(readme), row) {
			t.Errorf("README has no row that begins with %s", row)
		}
	}
}
