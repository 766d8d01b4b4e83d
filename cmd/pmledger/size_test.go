package main

import (
	"go/ast"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	maxFileLines     = 400
	maxFunctionLines = 70
	maxMainLines     = 20
)

func TestFilesAndFunctionsAreShort(t *testing.T) {
	for _, s := range sources(t) {
		tokens := s.fset.File(s.file.Pos())
		limit := maxFileLines
		if s.path == "cmd/pmledger/main.go" {
			limit = maxMainLines
		}
		if lines := tokens.LineCount(); lines > limit {
			t.Errorf("%s has %d lines, more than %d: take it apart by noun", s.path, lines, limit)
		}
		for _, decl := range s.file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := s.fset.Position(fn.End()).Line - s.fset.Position(fn.Pos()).Line + 1
			if lines > maxFunctionLines {
				t.Errorf("%s: %s has %d lines, more than %d", s.path, fn.Name.Name, lines, maxFunctionLines)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	said := map[string]bool{}
	for _, s := range sources(t) {
		if strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		doc := s.file.Doc.Text()
		begins := "Package " + s.file.Name.Name + " "
		if s.file.Name.Name == "main" {
			begins = "Command " + filepath.Base(s.folder()) + " "
		}
		said[s.folder()] = said[s.folder()] || strings.HasPrefix(doc, begins)
	}
	for folder, ok := range said {
		if !ok {
			t.Errorf("%s has no package comment that begins with its name", folder)
		}
	}
}

// TestNamesSayWhatThingsAre refuses the names of kinds: they attract everything
// and mean nothing.
func TestNamesSayWhatThingsAre(t *testing.T) {
	kinds := []string{"util", "utils", "helper", "helpers", "common", "type", "types", "models", "manager", "misc", "base"}
	folders := append([]string{"internal", "pkg", "app", "service", "usecase", "config"}, kinds...)
	for _, s := range sources(t) {
		for part := range strings.SplitSeq(s.folder(), "/") {
			if slices.Contains(folders, part) {
				t.Errorf("%s: a folder must not be called %q", s.path, part)
			}
		}
		name := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(s.path), ".go"), "_test")
		if slices.Contains(kinds, name) {
			t.Errorf("%s: a file must not be called %q", s.path, name)
		}
		if slices.Contains(folders, s.file.Name.Name) {
			t.Errorf("%s: a package must not be called %q", s.path, s.file.Name.Name)
		}
	}
}

// TestNothingRunsBeforeMain refuses init functions.
func TestNothingRunsBeforeMain(t *testing.T) {
	for _, s := range sources(t) {
		for _, decl := range s.file.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function: start things where they are wired", s.path)
			}
		}
	}
}
