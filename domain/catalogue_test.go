package domain

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares text with a golden file, or writes it with -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] {
			t.Fatalf("%s:%d is %q, the code says %q; stored and public names never change, additions are written with -update", file, i+1, wantLines[i], gotLines[i])
		}
	}
	t.Fatalf("%s has %d lines, the code says %d; additions are written with -update", file, len(wantLines), len(gotLines))
}

func TestTheCatalogueOfEventsIsTheGoldenOne(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Every stored event: its stored name, the name it is published under (- for none),\n# its members, and one sample. Names never change; members are only added.\n")
	for _, e := range catalogue(t) {
		public := PublicName(e)
		if public == "" {
			public = "-"
		}
		name, data, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "\n%s  %s\n", name, public)
		writeMembers(&b, reflect.TypeOf(e), "")
		fmt.Fprintf(&b, "  %s\n", data)
	}
	golden(t, "testdata/events.golden", b.String())
}

func writeMembers(b *strings.Builder, of reflect.Type, path string) {
	for i := range of.NumField() {
		field := of.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		kind, optional := field.Type, ""
		if options != "" {
			optional = " optional"
		}
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		switch {
		case kind == reflect.TypeFor[time.Time]():
			fmt.Fprintf(b, "  %s%s time%s\n", path, name, optional)
		case kind.Kind() == reflect.Struct:
			fmt.Fprintf(b, "  %s%s object%s\n", path, name, optional)
			writeMembers(b, kind, path+name+".")
		case kind.Kind() == reflect.String:
			fmt.Fprintf(b, "  %s%s string%s\n", path, name, optional)
		default:
			fmt.Fprintf(b, "  %s%s %s%s\n", path, name, kind, optional)
		}
	}
}

// source is what the exhaustiveness check reads of the package's own text.
type source struct {
	named    map[string]bool            // types with a method StoredName
	sealed   map[string]bool            // types with a method event
	decoded  map[string]bool            // types that decode reads
	switched map[string]map[string]bool // by function: types it names in a case or an assertion
}

func readSource(t *testing.T) source {
	t.Helper()
	s := source{named: map[string]bool{}, sealed: map[string]bool{}, decoded: map[string]bool{}, switched: map[string]map[string]bool{}}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range parsed.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok {
				s.add(f)
			}
		}
	}
	return s
}

func (s source) add(f *ast.FuncDecl) {
	receiver := ""
	if f.Recv != nil {
		receiver = typeName(f.Recv.List[0].Type)
	}
	switch f.Name.Name {
	case "StoredName":
		s.named[receiver] = true
	case "event":
		s.sealed[receiver] = true
	}
	if f.Body == nil {
		return
	}
	name := strings.TrimPrefix(receiver+"."+f.Name.Name, ".")
	s.switched[name] = map[string]bool{}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CaseClause:
			for _, expression := range n.List {
				s.switched[name][typeName(expression)] = true
			}
		case *ast.TypeAssertExpr:
			s.switched[name][typeName(n.Type)] = true
		case *ast.IndexExpr:
			if typeName(n.X) == "read" && strings.HasPrefix(name, "decode") {
				s.decoded[typeName(n.Index)] = true
			}
		}
		return true
	})
}

// namedIn are the types that one of the functions names.
func (s source) namedIn(functions ...string) map[string]bool {
	named := map[string]bool{}
	for _, f := range functions {
		for name := range s.switched[f] {
			named[name] = true
		}
	}
	return named
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return typeName(e.X)
	default:
		return ""
	}
}

func TestEveryDeclaredEventIsHandledEverywhere(t *testing.T) {
	s := readSource(t)
	if len(s.named) < 40 {
		t.Fatalf("only %d events were found in the source; the check reads the wrong thing", len(s.named))
	}
	// Facts that change no state.
	changesNothing := map[string]bool{
		"DuplicateDetected": true, "CommandAccepted": true, "LedgerCreated": true, "MethodDeclined": true,
	}
	evolving := s.namedIn("Method.Evolve", "Customer.Evolve", "Organization.Evolve", "Claim.Evolve", "SetupIntent.Evolve",
		"Method.evolveVerification", "Method.evolveSync", "Method.evolveReplacement", "Method.evolveUse", "Method.evolveApproval", "Method.evolveLeftOpen",
		"Customer.evolveSubscription")
	checked := s.namedIn("Customer.contradiction", "Organization.contradiction", "Claim.contradiction")
	inCatalogue := map[string]Event{}
	for _, e := range catalogue(t) {
		inCatalogue[reflect.TypeOf(e).Name()] = e
	}
	for name := range s.named {
		if !s.sealed[name] {
			t.Errorf("%s has a stored name and is no event: it lacks the method event", name)
		}
		if !s.decoded[name] {
			t.Errorf("decode does not read %s", name)
		}
		if evolving[name] == changesNothing[name] {
			t.Errorf("%s: handled by an Evolve is %v, listed as changing nothing is %v", name, evolving[name], changesNothing[name])
		}
		e, ok := inCatalogue[name]
		if !ok {
			t.Errorf("the catalogue has no sample of %s", name)
			continue
		}
		_, ofMethod := reflect.TypeOf(e).FieldByName("MethodID")
		if about := ofMethod || name == "DefaultChanged" || name == "SubscriptionDeleted"; about != (len(MethodsOf(e)) > 0) {
			t.Errorf("%s: MethodsOf gives %v", name, MethodsOf(e))
		}
		_, ofIntent := reflect.TypeOf(e).FieldByName("SetupIntentID")
		if ofIntent = ofIntent && name != "MethodAttached"; ofIntent != (SetupIntentOf(e) != "") {
			t.Errorf("%s: SetupIntentOf gives %q", name, SetupIntentOf(e))
		}
		// What is about a method or an intent is checked as such, the rest by name.
		if !checked[name] && len(MethodsOf(e)) == 0 && SetupIntentOf(e) == "" {
			t.Errorf("no contradiction check names %s", name)
		}
	}
	if len(inCatalogue) != len(s.named) || len(s.decoded) != len(s.named) || len(s.sealed) != len(s.named) {
		t.Errorf("%d events are named, %d sealed, %d decoded, %d in the catalogue", len(s.named), len(s.sealed), len(s.decoded), len(inCatalogue))
	}
}

func TestStoredNamesAreDistinct(t *testing.T) {
	stored, public := map[string]bool{}, map[string]bool{}
	for _, e := range catalogue(t) {
		if _, asUpdate := e.(MethodReplaced); asUpdate { // to the outside another instrument is an update
			if PublicName(e) != (MethodUpdated{}).StoredName() {
				t.Errorf("%s is published as %s", e.StoredName(), PublicName(e))
			}
			continue
		}
		if stored[e.StoredName()] || PublicName(e) != "" && public[PublicName(e)] {
			t.Errorf("%s (%s) is a name twice", e.StoredName(), PublicName(e))
		}
		stored[e.StoredName()], public[PublicName(e)] = true, true
	}
}

// The corpus holds records as release 1 wrote them. It grows with a file for each
// schema; what is there is never changed.
func TestEveryReleasesEventsFoldAsTheyDid(t *testing.T) {
	var b bytes.Buffer
	for schema := 1; schema <= Schema; schema++ {
		text, err := os.ReadFile(fmt.Sprintf("testdata/corpus/schema%d.txt", schema))
		if err != nil {
			t.Fatal(err)
		}
		states := map[string]State{}
		order := []string{}
		for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			words := strings.SplitN(line, " ", 4)
			stream, name := words[0], words[2]
			at, err := time.Parse(time.RFC3339Nano, words[1])
			if err != nil {
				t.Fatal(err)
			}
			e, err := Decode(name, schema, []byte(words[3]))
			if err != nil {
				t.Fatalf("line %d: %v", i+1, err)
			}
			if states[stream] == nil {
				states[stream] = NewState(stream)
				order = append(order, stream)
			}
			if err := Contradiction(states[stream], e); err != nil {
				t.Fatalf("line %d: %v", i+1, err)
			}
			states[stream].Evolve(e, at)
		}
		for _, stream := range order {
			state, err := json.MarshalIndent(states[stream], "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s\n%s\n", stream, state)
		}
	}
	golden(t, "testdata/corpus/states.golden", b.String())
}
