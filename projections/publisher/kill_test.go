package publisher

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/pmledger/pmledger/eventstore/torture"
)

const (
	victimDir = "PMLEDGER_TEST_VICTIM_DIR"
	victimLog = "PMLEDGER_TEST_VICTIM_LOG"
	perLife   = 1500
)

// victim is the child process: it publishes with an embedded server until it is
// killed. Its log begins with what earlier lives had and grows while it runs.
func victim(dir string) {
	var n int
	if _, err := fmt.Sscan(os.Getenv(victimLog), &n); err != nil {
		panic(err)
	}
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := StartServer(ServerOptions{Dir: dir, Logger: logger})
	if err != nil {
		panic(err)
	}
	log := newOutbox(n)
	p, err := New(Options{Server: s, Source: log.source(), Logger: logger})
	if err != nil {
		panic(err)
	}
	go func() {
		for added := 0; added < perLife; {
			k := min(1+rand.IntN(60), perLife-added)
			log.add(k)
			added += k
			time.Sleep(time.Duration(rand.IntN(8)) * time.Millisecond)
		}
	}()
	fmt.Print("r") // running
	go func() {
		for p.Status().Published == 0 {
			time.Sleep(time.Millisecond)
		}
		fmt.Print("p") // published
	}()
	_ = p.Run(context.Background())
}

// The process with the server and the publisher in it is killed again and again,
// between a store and its acknowledgement, inside a batch, while it recovers.
func TestKilledProcessesLoseAndRepeatNothing(t *testing.T) {
	t.Parallel()
	dir, lives := t.TempDir(), torture.Size(8, 16, 200)
	for life := range lives {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), victimDir+"="+dir, fmt.Sprintf("%s=%d", victimLog, life*perLife))
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		// Every other life gets as far as publishing, however slow the machine is.
		if _, err := io.ReadFull(out, make([]byte, 1+life%2)); err != nil {
			t.Fatalf("the child did not start: %v", err)
		}
		time.Sleep(time.Duration(5+rand.IntN(120)) * time.Millisecond)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
	}
	log := newOutbox(lives * perLife)
	s := startServer(t, ServerOptions{Dir: dir})
	p, _ := run(t, Options{Server: s, Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	_, js := writer(t, s)
	complete(t, js, log.all())
	st := p.Status()
	if st.Rebuilds != 0 || st.Halted != nil {
		t.Errorf("status %+v", st)
	}
	if st.Published == uint64(len(log.all())) {
		t.Error("no child had published anything")
	}
	torture.Add(t, torture.Report{Campaign: "killed publishers", Counts: []torture.Figure{
		torture.Count(lives, "kills"), torture.Count(len(log.all()), "messages"), torture.Count(uint64(len(log.all()))-st.Published, "of them before the last start"),
	}})
}
