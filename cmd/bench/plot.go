package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"slices"
)

// Sizes of the plot in pixels.
const (
	plotWidth   = 960
	plotLeft    = 300 // where bars begin
	plotBars    = 540 // what the axis is long
	plotRow     = 30
	plotBar     = 10
	plotHeading = 46
)

const (
	colourOurs = "#1f6feb"
	colourB    = "#b0b8c4"
	colourGoal = "#d1242f"
	colourGrid = "#d8dee4"
	colourText = "#24292f"
)

// canvas is an SVG in the making.
type canvas struct {
	bytes.Buffer
	y int
}

func (c *canvas) text(x, y int, anchor, style, text string) {
	fmt.Fprintf(c, `<text x="%d" y="%d" text-anchor="%s" fill="%s" style="%s">`, x, y, anchor, colourText, style)
	_ = xml.EscapeText(c, []byte(text)) // a buffer takes everything
	c.WriteString("</text>\n")
}

func (c *canvas) bar(y int, length float64, colour string) {
	fmt.Fprintf(c, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", plotLeft, y, length, plotBar, colour)
}

// label stands after a bar and over what else is there.
func (c *canvas) label(y int, length float64, label string) {
	c.text(plotLeft+int(length)+6, y+plotBar-1, "start", "font-size:10px;paint-order:stroke;stroke:white;stroke-width:3px", label)
}

func (c *canvas) mark(y int, at float64) {
	fmt.Fprintf(c, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s" stroke-width="2"/>`+"\n", plotLeft+at, plotLeft+at, y-2, y+2*plotBar+4, colourGoal)
}

// plot draws two panels: requests per second as shares of E, and latencies in
// milliseconds on a logarithmic axis.
func plot(head []string, figures []*figure) []byte {
	var c canvas
	c.y = 30
	c.text(20, c.y, "start", "font-size:18px;font-weight:bold", "pmledger next to Echo (E) and Echo with PostgreSQL and an outbox (B)")
	for _, line := range head {
		c.y += 16
		c.text(20, c.y, "start", "font-size:10px", line)
	}
	c.panel("Requests per second as a share of E; red: the goal", figures, share, map[float64]string{0.25: "0.25", 0.5: "0.5", 0.75: "0.75", 1: "E"})
	c.panel("Latency in ms, logarithmic; red: the goal", figures, latency, map[float64]string{1. / 6: "0.1", 2. / 6: "1", 3. / 6: "10", 4. / 6: "100", 5. / 6: "1000"})
	c.y += 30
	c.legend()
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif">
<rect width="100%%" height="100%%" fill="white"/>
%s</svg>
`, plotWidth, c.y+20, plotWidth, c.y+20, c.Bytes())
}

// bars are a figure as lengths; NaN for what there is not. Goals are lengths too.
type bars struct {
	ours, b float64
	labels  [2]string
	goal    float64
}

// panel draws the figures that draw has bars for, over an axis whose marks are
// given as shares of its length.
func (c *canvas) panel(title string, figures []*figure, draw func(*figure) (bars, bool), marks map[float64]string) {
	figures = slices.DeleteFunc(slices.Clone(figures), func(f *figure) bool { _, ok := draw(f); return !ok })
	c.y += plotHeading
	c.text(20, c.y, "start", "font-size:14px;font-weight:bold", title)
	c.y += 24
	for at, name := range marks {
		x := plotLeft + int(at*plotBars)
		fmt.Fprintf(c, `<line x1="%d" x2="%d" y1="%d" y2="%d" stroke="%s"/>`+"\n", x, x, c.y-6, c.y+plotRow*len(figures)-6, colourGrid)
		c.text(x, c.y-10, "middle", "font-size:10px", name)
	}
	for _, f := range figures {
		b, _ := draw(f)
		c.text(plotLeft-10, c.y+plotBar+4, "end", "font-size:12px", f.name)
		c.bar(c.y, b.ours, colourOurs)
		if !math.IsNaN(b.b) {
			c.bar(c.y+plotBar+1, b.b, colourB)
		}
		if !math.IsNaN(b.goal) {
			c.mark(c.y, b.goal)
		}
		c.label(c.y, b.ours, b.labels[0])
		if !math.IsNaN(b.b) {
			c.label(c.y+plotBar+1, b.b, b.labels[1])
		}
		c.y += plotRow
	}
}

// share draws requests per second; the axis ends at E.
func share(f *figure) (bars, bool) {
	if f.unit != "/s" || len(f.e) == 0 {
		return bars{}, false
	}
	ours, e := f.ratio(toE), median(f.e)
	b := bars{ours: ours * plotBars, b: none, goal: none}
	b.labels[0] = fmt.Sprintf("%s E (%s/s)", number(ours), number(median(f.ours)))
	if theirs := f.values(toB); len(theirs) > 0 {
		b.b = median(theirs) / e * plotBars
		b.labels[1] = fmt.Sprintf("B %s E (%s/s)", number(median(theirs)/e), number(median(theirs)))
	}
	for _, g := range f.goals {
		if g.side == toE && math.IsNaN(b.goal) {
			b.goal = g.bound * plotBars
		}
	}
	return b, true
}

// latency draws milliseconds: from 0.01 to 10 000, as long as six steps of ten.
func latency(f *figure) (bars, bool) {
	if f.unit != "ms" {
		return bars{}, false
	}
	length := func(v float64) float64 {
		return plotBars * min(max(math.Log10(v/0.01), 0), 6) / 6
	}
	b := bars{ours: length(median(f.ours)), b: none, goal: none}
	b.labels[0] = number(median(f.ours)) + " ms"
	if len(f.b) > 0 {
		b.b = length(median(f.b))
		b.labels[1] = "B " + number(median(f.b)) + " ms"
	}
	for _, g := range f.goals {
		if v := median(f.values(g.side)) * g.bound; !math.IsNaN(v) {
			b.goal = length(v)
		}
	}
	return b, true
}

func (c *canvas) legend() {
	for i, entry := range []struct{ colour, name string }{{colourOurs, "pmledger"}, {colourB, "B"}, {colourGoal, "goal"}} {
		x := plotLeft + 120*i
		fmt.Fprintf(c, `<rect x="%d" y="%d" width="12" height="12" fill="%s"/>`+"\n", x, c.y-10, entry.colour)
		c.text(x+18, c.y, "start", "font-size:12px", entry.name)
	}
}
