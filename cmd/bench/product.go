package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const benchKey = "pml_test_bench_0123456789_0123456789"

// product is the program under test, with a data folder of its own.
type product struct {
	binary, data      string
	cmd               *exec.Cmd // nil while it is stopped
	http, nats, admin string    // addresses; nats and admin as URLs
}

// newProduct builds pmledger as make build does, unless it was built before.
func newProduct(ctx context.Context, s settings, name string) (*product, error) {
	p := &product{binary: filepath.Join(s.dir, "pmledger"), data: filepath.Join(s.dir, name)}
	if _, err := os.Stat(p.binary); err == nil {
		return p, nil
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", p.binary, "github.com/pmledger/pmledger/cmd/pmledger")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building pmledger: %w\n%s", err, out)
	}
	return p, nil
}

// system is the product as something to ask. It must have been started.
func (p *product) system(run string) *system {
	return &system{target: target{address: p.http, settled: p.settled}, nats: p.nats, run: run}
}

// start serves and returns when the greeting tells the addresses.
func (p *product) start() error {
	p.cmd = exec.Command(p.binary, "serve", "--dev", "--data", p.data, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0")
	p.cmd.Env = append(os.Environ(), "PMLEDGER_DEV_KEY="+benchKey)
	log, err := os.Create(p.data + ".log")
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	addresses := regexp.MustCompile(`(?m)^  (HTTP|NATS|Admin) +(\S+)`)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(log.Name())
		if err != nil {
			return err
		}
		if !strings.Contains(string(text), "Attach a card") {
			continue
		}
		for _, m := range addresses.FindAllStringSubmatch(string(text), -1) {
			switch m[1] {
			case "HTTP":
				p.http = strings.TrimPrefix(m[2], "http://")
			case "NATS":
				p.nats = m[2]
			case "Admin":
				p.admin = m[2]
			}
		}
		return nil
	}
	return errors.New("pmledger did not start; see " + log.Name())
}

// stop ends the server, if it runs, and waits for it.
func (p *product) stop() error {
	if p.cmd == nil {
		return nil
	}
	cmd := p.cmd
	p.cmd = nil
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return cmd.Wait()
}

// lags are the metrics of what is left to project and to publish.
var lags = regexp.MustCompile(`(?m)^pmledger_(?:publisher_lag_events|projection_lag\{projection="customers"\}) (\S+)$`)

// settled returns when the views and the stream have everything.
func (p *product) settled(ctx context.Context) error {
	return drained(ctx, func() (bool, string, error) {
		text, err := fetch(ctx, p.admin)
		found := lags.FindAllStringSubmatch(text, -1)
		if err != nil || len(found) != 2 {
			return false, "no lags among the metrics", err
		}
		return found[0][1] == "0" && found[1][1] == "0", fmt.Sprint(found), nil
	})
}

// resident is the server's resident set in MiB.
func (p *product) resident(ctx context.Context) (float64, error) {
	text, err := fetch(ctx, p.admin)
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(`(?m)^process_resident_memory_bytes (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		return 0, errors.New("no process_resident_memory_bytes")
	}
	bytes, err := strconv.ParseFloat(m[1], 64)
	return bytes / (1 << 20), err
}

// profile records what pmledger does from now on until the returned function is
// called, if a profile is asked for. It covers as much time as a measurement.
func (p *product) profile(ctx context.Context, s settings) (wait func() error) {
	if s.cpu == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	url := strings.Replace(p.admin, "/metrics", fmt.Sprintf("/debug/pprof/profile?seconds=%d", max(int(s.length.Seconds()), 1)), 1)
	go func() {
		data, err := fetch(ctx, url)
		if err == nil {
			err = os.WriteFile(s.cpu, []byte(data), 0o600)
		}
		done <- err
	}()
	return func() error { return <-done }
}

func fetch(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// rebuild runs pmledger rebuild and returns its events per second and how long
// it took.
func (p *product) rebuild(ctx context.Context) (perSecond float64, took time.Duration, err error) {
	out, err := exec.CommandContext(ctx, p.binary, "rebuild", "--json", "--data", p.data).Output()
	if err != nil {
		return 0, 0, fmt.Errorf("rebuild: %w", err)
	}
	var rebuilt struct {
		Seconds         float64 `json:"seconds"`
		EventsPerSecond float64 `json:"events_per_second"`
	}
	err = json.Unmarshal(out, &rebuilt)
	return rebuilt.EventsPerSecond, time.Duration(rebuilt.Seconds * float64(time.Second)), err
}

// child starts this program in another role and returns the first line it prints.
func child(ctx context.Context, args ...string) (*exec.Cmd, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	return cmd, strings.TrimSpace(line), err
}
