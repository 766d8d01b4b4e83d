package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheSecretIsMadeOnceForAnEmptyLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "secret")
	made, err := loadSecret(path, true)
	if err != nil || len(made) != secretSize {
		t.Fatalf("got %d bytes, %v", len(made), err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode().Perm(), err)
	}
	for _, empty := range []bool{true, false} {
		again, err := loadSecret(path, empty)
		if err != nil || !bytes.Equal(again, made) {
			t.Errorf("read again with empty log %v: %v", empty, err)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v; want the secret alone", entries, err)
	}
}

func TestAMissingSecretIsNotReplacedWhenTheLogHasRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	_, err := loadSecret(path, false)
	if err == nil || !strings.Contains(err.Error(), "restore") {
		t.Errorf("got %v, want the advice to restore it", err)
	}
	if exists(path) {
		t.Error("a secret was made")
	}
}

func TestASecretOfAnotherLengthIsRefused(t *testing.T) {
	for _, size := range []int{0, 31, 33, 64} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadSecret(path, true); err == nil {
			t.Errorf("%d bytes were accepted", size)
		}
	}
}

func TestAPrivateTextIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "demo-key")
	calls := 0
	fresh := func() string { calls++; return "text" }
	for range 2 {
		text, err := readOrMake(path, fresh)
		if err != nil || text != "text" {
			t.Errorf("got %q, %v", text, err)
		}
	}
	if calls != 1 || openToOthers(path) {
		t.Errorf("made %d times; open to others: %v", calls, openToOthers(path))
	}
}
