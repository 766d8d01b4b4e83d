package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// doctorOf runs doctor and returns what it found, by what it looked at.
func doctorOf(t *testing.T, dir string, args ...string) (int, map[string]finding) {
	t.Helper()
	code, text, talk := offline(dir, append([]string{"doctor", "--json", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...)...)
	var list []finding
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("%d, %v: %s%s", code, err, text, talk)
	}
	found := map[string]finding{}
	for _, f := range list {
		found[f.Check] = f
	}
	return code, found
}

// contents are the files below a folder, with their content.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() && info.Name() != "LOCK" {
			data, failed := os.ReadFile(path)
			all[path], err = string(data), failed
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDoctorFindsViewsThatAreAheadOfTheLog(t *testing.T) {
	s := serve(t, t.TempDir())
	s.attach("cus_1", "tok_visa")
	s.terminate()
	older := t.TempDir()
	if err := os.CopyFS(older, os.DirFS(filepath.Join(s.dir, "log"))); err != nil {
		t.Fatal(err)
	}
	again := serve(t, s.dir)
	again.attach("cus_2", "tok_visa")
	again.terminate()

	views := contents(t, filepath.Join(s.dir, "views"))
	if code, found := doctorOf(t, s.dir); code != exitOK || found["views"].Verdict != verdictOK || !strings.Contains(found["views"].Detail, "at position ") {
		t.Errorf("views that fit: %d %+v", code, found["views"])
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "log")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(s.dir, "log"), os.DirFS(older)); err != nil {
		t.Fatal(err)
	}
	if code, found := doctorOf(t, s.dir); code != exitFailure || found["log"].Verdict != verdictOK || found["views"].Verdict != verdictFail ||
		!strings.Contains(found["views"].Detail, "has applied position") {
		t.Errorf("views ahead: %d %+v", code, found)
	}
	if !reflect.DeepEqual(contents(t, filepath.Join(s.dir, "views")), views) {
		t.Error("doctor has changed the views")
	}
}

// A server that was killed leaves much to recover, which is not doctor's to do.
func TestDoctorChangesNoFile(t *testing.T) {
	s := serve(t, t.TempDir())
	s.attach("cus_1", "tok_visa")
	killed := s.dir
	s.kill()
	if err := os.Remove(filepath.Join(killed, "log", "reserve")); err != nil {
		t.Fatal(err)
	}
	before := contents(t, killed)
	if _, found := doctorOf(t, killed); found["log"].Verdict != verdictOK || !strings.Contains(found["log"].Detail, "opens, head at position") {
		t.Errorf("%+v", found["log"])
	}
	if after := contents(t, killed); !reflect.DeepEqual(before, after) {
		t.Errorf("there were %d files, there are %d, and not all are as they were", len(before), len(after))
	}
	if err := os.WriteFile(filepath.Join(killed, "secret"), make([]byte, secretSize), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, found := doctorOf(t, killed); found["log"].Verdict != verdictFail || !strings.Contains(found["log"].Detail, "another secret") {
		t.Errorf("another secret: %+v", found["log"])
	}
}

func TestDoctorReadsTheFilesOfGateways(t *testing.T) {
	key := write(t, "key", "sk_test_123")
	config := write(t, "c.yml", "gateways: [{name: eu, kind: stripe, organizations: [{name: acme, key-file: "+key+", webhook-secret-file: "+key+"}]}]")
	if code, found := doctorOf(t, t.TempDir(), "--config", config); code != exitOK || found["gateway eu"].Verdict != verdictOK {
		t.Errorf("readable: %d %+v", code, found)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if code, found := doctorOf(t, t.TempDir(), "--config", config); code != exitFailure || found["gateway eu"].Verdict != verdictFail || !strings.Contains(found["gateway eu"].Detail, key) {
		t.Errorf("missing: %d %+v", code, found)
	}
}

func TestDoctorSaysThatALogWithoutItsSecretWasNotLookedAt(t *testing.T) {
	dir := t.TempDir()
	if code, _, talk := offline(dir, "keys", "create", "--organization", "acme", "--scopes", "all"); code != exitOK {
		t.Fatal(talk)
	}
	if err := os.Remove(filepath.Join(dir, "secret")); err != nil {
		t.Fatal(err)
	}
	code, found := doctorOf(t, dir)
	if code != exitFailure || found["secret"].Verdict != verdictFail || found["log"].Verdict != verdictWarn || strings.Contains(found["log"].Detail, "will be made") {
		t.Errorf("%d %+v", code, found)
	}
}
