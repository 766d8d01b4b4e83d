package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// README must not pass over a goal that the report says is missed.
func TestTheReadmeShowsTheContractsBoundsAsTheReportJudgesThem(t *testing.T) {
	readme, report := contentOf(t, "../../README.md"), contentOf(t, "report.md")
	for _, row := range []struct {
		inReport, inReadme string
		bound              float64
	}{
		{"| attach, 64 clients |", "| attach, 64 clients,", contractAttach},
		{"| get, 64 clients |", "| get |", contractGet},
		{"| list of 20, 64 clients |", "| list of 20 |", contractList},
	} {
		judged := regexp.MustCompile(fmt.Sprintf(`≥ %.2f × E (met|missed)`, row.bound)).FindStringSubmatch(lineOf(t, report, row.inReport))
		if judged == nil {
			t.Errorf("the report does not judge %s by %.2f", row.inReport, row.bound)
			continue
		}
		if want := fmt.Sprintf("| %.2f of E: %s", row.bound, judged[1]); !strings.Contains(lineOf(t, readme, row.inReadme), want) {
			t.Errorf("README has no %q for %s", want, row.inReadme)
		}
	}
}

func contentOf(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// lineOf is the line that begins so.
func lineOf(t *testing.T, text, begin string) string {
	t.Helper()
	for one := range strings.Lines(text) {
		if strings.HasPrefix(one, begin) {
			return one
		}
	}
	t.Fatalf("no line begins with %s", begin)
	return ""
}
