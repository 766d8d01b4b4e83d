package main

import (
	"path"
	"path/filepath"
	"regexp"
	"testing"
)

var goFile = regexp.MustCompile(`(?:^|[\s("` + "`" + `])([a-z0-9_/.-]*[a-z0-9_]\.go)\b`)

// A comment that names a Go file names one of its own folder, or one of the module
// by its path.
func TestFilesThatCommentsNameExist(t *testing.T) {
	all := sources(t)
	known := map[string]bool{}
	for _, s := range all {
		known[s.path] = true
	}
	named := 0
	for _, s := range all {
		for _, group := range s.file.Comments {
			for _, name := range goFile.FindAllStringSubmatch(group.Text(), -1) {
				named++
				if !known[path.Join(s.folder(), name[1])] && !known[name[1]] {
					t.Errorf("%s:%d speaks of %s, which is not there", filepath.Base(s.path), s.fset.Position(group.Pos()).Line, name[1])
				}
			}
		}
	}
	if named < 5 {
		t.Errorf("only %d names of files were read", named)
	}
}
