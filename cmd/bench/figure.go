package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// figure is one line of the report: what was measured in each round, and what it
// is held against. E, B and the reference stay empty where there is none; else
// they have as many values as ours, taken in the same round.
type figure struct {
	name      string
	unit      string
	reference string // what the reference is, such as "a bare publish"
	goals     []goal
	note      string // of the last round, or what a reader must know

	ours, e, b, of []float64
}

// side says what a goal is a ratio to.
type side string

const (
	toE         side = "E"
	toB         side = "B"
	toReference side = "reference"
)

// goal bounds the median of the rounds' ratios to a side.
type goal struct {
	side    side
	bound   float64
	atLeast bool
}

func atLeast(bound float64, s side) goal { return goal{s, bound, true} }
func atMost(bound float64, s side) goal  { return goal{s, bound, false} }

// add takes the values of one round; NaN where a side has none.
func (f *figure) add(ours, e, b, reference float64) {
	f.ours = append(f.ours, ours)
	for _, s := range []struct {
		to    *[]float64
		value float64
	}{{&f.e, e}, {&f.b, b}, {&f.of, reference}} {
		if !math.IsNaN(s.value) {
			*s.to = append(*s.to, s.value)
		}
	}
}

// none stands for a side that a figure does not have.
var none = math.NaN()

func (f *figure) values(s side) []float64 {
	switch s {
	case toE:
		return f.e
	case toB:
		return f.b
	default:
		return f.of
	}
}

// ratios of ours to a side, one for each round; nil when there is none.
func (f *figure) ratios(s side) []float64 {
	theirs := f.values(s)
	if len(theirs) == 0 || len(theirs) != len(f.ours) {
		return nil
	}
	var all []float64
	for i, value := range theirs {
		all = append(all, f.ours[i]/value)
	}
	return all
}

// ratio is the median of the ratios; NaN when there is none.
func (f *figure) ratio(s side) float64 { return median(f.ratios(s)) }

// spread is the least and the greatest of the ratios to the first side there is,
// or of the figure itself, in hundredths of their median.
func (f *figure) spread() string {
	all := f.ours
	for _, s := range []side{toE, toReference, toB} {
		if r := f.ratios(s); r != nil {
			all = r
			break
		}
	}
	if len(all) < 2 || median(all) == 0 {
		return ""
	}
	m := median(all)
	return fmt.Sprintf("%+.0f %+.0f %%", 100*(slices.Min(all)/m-1), 100*(slices.Max(all)/m-1))
}

// verdicts says for each goal whether it was met.
func (f *figure) verdicts() string {
	var all []string
	for _, g := range f.goals {
		ratio, name := f.ratio(g.side), string(g.side)
		if g.side == toReference {
			name = f.reference
		}
		sign := "≤"
		if g.atLeast {
			sign = "≥"
		}
		verdict := "missed"
		switch {
		case math.IsNaN(ratio):
			verdict = "not measured"
		case g.atLeast == (ratio >= g.bound) || ratio == g.bound:
			verdict = "met"
		}
		all = append(all, fmt.Sprintf("%s %s × %s %s", sign, number(g.bound), name, verdict))
	}
	return strings.Join(all, "; ")
}

// number writes three digits of a value, or all before the point.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return ""
	case a >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// median of the values; NaN of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return none
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
