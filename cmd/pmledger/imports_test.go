package main

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/pmledger/pmledger/"

// direction is the order of the top-level folders: a package imports only from
// its own folder and from those to its left.
var direction = []string{"domain", "gateway", "eventstore", "projections", "api", "cmd"}

func TestImportsPointLeft(t *testing.T) {
	for _, s := range sources(t) {
		from := slices.Index(direction, s.top())
		if from < 0 {
			t.Errorf("%s: %q is none of the folders %v", s.path, s.top(), direction)
			continue
		}
		for _, path := range imports(t, s) {
			inside, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			top, _, _ := strings.Cut(inside, "/")
			if to := slices.Index(direction, top); to < 0 || to > from {
				t.Errorf("%s imports %s: a package imports only to its left in %s",
					s.path, inside, strings.Join(direction, " <- "))
			}
		}
	}
}

// TestTheDomainIsPure keeps clocks, contexts, files, networks and randomness out
// of domain: its rules must give the same answer when history is read again.
func TestTheDomainIsPure(t *testing.T) {
	for _, s := range sources(t) {
		if s.top() != "domain" || strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		for _, path := range imports(t, s) {
			outside := strings.Contains(strings.Split(path, "/")[0], ".") && path != "github.com/google/uuid"
			impure := slices.Contains([]string{"context", "os", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand", "log/slog", "sync"}, path)
			if outside || impure {
				t.Errorf("%s imports %s: domain is pure, standard library and uuid only", s.path, path)
			}
		}
	}
}

// TestEchoStaysInTheAPI keeps the web framework's types in one place. The
// benchmark's yardstick is an Echo server by definition.
func TestEchoStaysInTheAPI(t *testing.T) {
	for _, s := range sources(t) {
		if s.top() == "api" || strings.HasPrefix(s.path, "cmd/bench/") {
			continue
		}
		for _, path := range imports(t, s) {
			if strings.HasPrefix(path, "github.com/labstack/") || strings.HasPrefix(path, "github.com/danielgtaylor/huma") {
				t.Errorf("%s imports %s: Echo and huma stay inside api", s.path, path)
			}
		}
	}
}

func imports(t *testing.T, s source) []string {
	t.Helper()
	var paths []string
	for _, spec := range s.file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatalf("%s: %v", s.path, err)
		}
		paths = append(paths, path)
	}
	return paths
}
