package main

import (
	"strings"
	"testing"
)

func TestARatioIsTheMedianOfTheRoundsRatios(t *testing.T) {
	f := &figure{name: "get", unit: "/s", goals: []goal{atLeast(0.8, toE), atMost(0.8, toE), atLeast(3, toB)}}
	for _, round := range [][2]float64{{60, 100}, {900, 1000}, {70, 80}} {
		f.add(round[0], round[1], none, none)
	}
	// The medians of the sides are 70 and 100; that of 0.6, 0.9 and 0.875 is 0.875.
	if got := f.ratio(toE); got != 0.875 {
		t.Errorf("the ratio is %v", got)
	}
	if got, want := f.verdicts(), "≥ 0.80 × E met; ≤ 0.80 × E missed; ≥ 3 × B not measured"; got != want {
		t.Errorf("verdicts %q, want %q", got, want)
	}
	if got, want := f.spread(), "-31 +3 %"; got != want {
		t.Errorf("spread %q, want %q", got, want)
	}
}

func TestAMissedGoalIsPrintedAsMissed(t *testing.T) {
	f := &figure{name: "attach", unit: "ms", reference: "scan", goals: []goal{atMost(1.5, toReference), atLeast(0.35, toE)}}
	f.add(16, 100, none, 10)
	var out strings.Builder
	if err := printTable(&out, nil, []*figure{f}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"≤ 1.50 × scan missed", "≥ 0.35 × E missed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}
