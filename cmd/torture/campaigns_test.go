package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// plantedBugs are the constants of package planted, as its source has them.
func plantedBugs(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../eventstore/planted/planted.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Bug" {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, text)
		}
		return true
	})
	return all
}

func TestEveryPlantedBugHasATrap(t *testing.T) {
	var trapped []string
	for _, trap := range theTraps {
		trapped = append(trapped, string(trap.bug))
		if _, err := named(trap.by); err != nil {
			t.Error(err)
		}
	}
	bugs := plantedBugs(t)
	if len(bugs) < 12 {
		t.Errorf("%d bugs are planted, at least 12 are wanted", len(bugs))
	}
	for _, bug := range bugs {
		if !slices.Contains(trapped, bug) {
			t.Errorf("nothing must notice that %s", bug)
		}
	}
	slices.Sort(trapped)
	if twice := len(trapped) - len(slices.Compact(trapped)); twice > 0 {
		t.Errorf("%d bugs have two traps", twice)
	}
}

func TestEveryCampaignIsATest(t *testing.T) {
	for _, c := range theCampaigns {
		files, err := filepath.Glob(filepath.Join("../..", c.folder, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: %v", c.folder, err)
		}
		found := false
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(text), "\nfunc "+c.test+"(t *testing.T)")
		}
		if !found {
			t.Errorf("%s has no test %s", c.folder, c.test)
		}
	}
}
