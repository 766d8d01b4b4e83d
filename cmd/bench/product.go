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

// product is the program under test.
type product struct {
	binary, data      string
	cmd               *exec.Cmd
	http, nats, admin string // addresses; nats and admin as URLs
}

// buildProduct builds pmledger as make build does.
func buildProduct(ctx context.Context, dir string) (*product, error) {
	p := &product{binary: filepath.Join(dir, "pmledger"), data: filepath.Join(dir, "data")}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", p.binary, "github.com/pmledger/pmledger/cmd/pmledger")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building pmledger: %w\n%s", err, out)
	}
	return p, nil
}

// start serves and returns when the greeting tells the addresses.
func (p *product) start(dir string) error {
	p.cmd = exec.Command(p.binary, "serve", "--dev", "--data", p.data, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0")
	p.cmd.Env = append(os.Environ(), "PMLEDGER_DEV_KEY="+benchKey)
	log, err := os.Create(filepath.Join(dir, "serve.log"))
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

// stop ends the server and waits for it.
func (p *product) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.cmd.Wait()
}

// settled returns when the views and the stream have everything.
func (p *product) settled(ctx context.Context) error {
	for ctx.Err() == nil {
		text, err := fetch(ctx, p.admin)
		if err != nil {
			return err
		}
		if strings.Contains(text, "\npmledger_publisher_lag_events 0\n") && strings.Contains(text, `pmledger_projection_lag{projection="customers"} 0`) {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return ctx.Err()
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
// called, if a profile is asked for. It covers E's turn too, when pmledger idles.
func (p *product) profile(ctx context.Context, s settings) (wait func() error) {
	if s.cpu == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	url := strings.Replace(p.admin, "/metrics", fmt.Sprintf("/debug/pprof/profile?seconds=%d", int(2*s.length.Seconds())), 1)
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

// rebuild runs pmledger rebuild and returns its events per second.
func (p *product) rebuild(ctx context.Context) (float64, error) {
	out, err := exec.CommandContext(ctx, p.binary, "rebuild", "--json", "--data", p.data).Output()
	if err != nil {
		return 0, fmt.Errorf("rebuild: %w", err)
	}
	var rebuilt struct {
		EventsPerSecond float64 `json:"events_per_second"`
	}
	return rebuilt.EventsPerSecond, json.Unmarshal(out, &rebuilt)
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
