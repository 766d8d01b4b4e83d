package main

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var backquoted = regexp.MustCompile("`([^`]+)`")

// Every row of api/sources.md is complete, and the tests it names exist.
func TestEveryBehaviourOfTheSourcesNamesItsTests(t *testing.T) {
	known := map[string]bool{}
	for _, s := range sources(t) {
		if !strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				known[f.Name.Name] = true
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(repository, "api", "sources.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 || strings.HasPrefix(cells[0], "--") || strings.TrimSpace(cells[0]) == "behaviour" {
			continue
		}
		rows++
		tests := backquoted.FindAllStringSubmatch(cells[2], -1)
		if strings.TrimSpace(cells[0]) == "" || strings.TrimSpace(cells[1]) == "" || len(tests) == 0 {
			t.Errorf("a cell is blank: %s", line)
		}
		for _, test := range tests {
			if strings.HasSuffix(test[1], ".txt") {
				if !exists(filepath.Join(repository, test[1])) {
					t.Errorf("there is no %s", test[1])
				}
			} else if !known[test[1]] {
				t.Errorf("there is no test %s", test[1])
			}
		}
	}
	if rows < 60 {
		t.Errorf("only %d rows were read", rows)
	}
}
