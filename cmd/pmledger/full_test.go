package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// smallVolume mounts a memory file system of the given size, or skips the test.
func smallVolume(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("needs the right to mount a small volume: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// TestAFullDiskRefusesWritesUntilThereIsRoom fills a volume of 256 MiB. An empty
// ledger takes about 90 MiB with a --min-free of 64MiB: a reserve of a quarter of it
// and the engine's preallocated files.
func TestAFullDiskRefusesWritesUntilThereIsRoom(t *testing.T) {
	volume := smallVolume(t, "256m")
	data := filepath.Join(volume, "data")
	s := serve(t, data, "--min-free", "64MiB")
	id := s.attach("cus_1", "tok_visa")["id"].(string)

	ballast := filepath.Join(volume, "ballast")
	fill(t, ballast)
	var refused answer
	s.await("writes are refused", func() bool {
		var err error
		refused, err = s.try(http.DefaultClient, http.MethodPost, "/v1/customers/cus_2/payment-methods", `{"type":"card","token":"tok_visa"}`)
		return err == nil && refused.status == http.StatusInsufficientStorage
	})
	if problem := refused.json(t); problem["code"] != "storage.full" || refused.header.Get("Retry-After") == "" {
		t.Errorf("it answered %v %s", refused.header, refused.body)
	}
	s.get("/v1/payment-methods/" + id)
	if s.status("/readyz") != http.StatusOK {
		t.Error("reads go on, but the server says it is not ready")
	}
	if !strings.Contains(fetch(t, s.admin), "\npmledger_storage_full 1\n") {
		t.Error("the metrics do not say that the volume is full")
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.await("writes resume", func() bool {
		a, err := s.try(http.DefaultClient, http.MethodPost, "/v1/customers/cus_3/payment-methods", `{"type":"card","token":"tok_visa"}`)
		return err == nil && a.status == http.StatusCreated
	})
	s.get("/v1/payment-methods/" + id)
	s.stream(events(s))
	if code := s.terminate(); code != exitOK {
		t.Errorf("SIGTERM ended it with %d", code)
	}
	if code, text, talk := offline(data, "history", "verify"); code != exitOK {
		t.Errorf("verify ended with %d: %s%s", code, text, talk)
	}
}

// fill writes until the volume has no room left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<16)
	for {
		if _, err := f.Write(block); err != nil {
			return
		}
	}
}
