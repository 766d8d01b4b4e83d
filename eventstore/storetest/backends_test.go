package storetest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every package beside this one that has a Store runs the whole suite on it. A
// behaviour cannot be left out of the suite, so all keep the same list.
func TestEveryBackendRunsTheSuite(t *testing.T) {
	backends := 0
	folders, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		if !f.IsDir() || !inFiles(t, f.Name(), "_ eventstore.Store ", false) {
			continue
		}
		backends++
		if !inFiles(t, f.Name(), "storetest.Run(t, ", true) {
			t.Errorf("%s has a Store, and no test of it runs storetest.Run", f.Name())
		}
	}
	if backends < 3 {
		t.Errorf("%d backends were found, want disk, kurrent and memory at least", backends)
	}
}

// inFiles tells whether a folder's files, or its tests, hold a text.
func inFiles(t *testing.T, folder, text string, tests bool) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") == tests && strings.Contains(string(source), text) {
			return true
		}
	}
	return false
}
