package main

import (
	"time"

	"github.com/schollz/progressbar/v3"
)

// sayEvery is how often progress is written where no person is looking.
const sayEvery = 5 * time.Second

// progress shows how far a walk through the log has come: a bar on a terminal, a
// line every five seconds elsewhere, with events per second and, where the end is
// known, the time left.
type progress struct {
	p     *program
	what  string
	total uint64 // 0: not known
	began time.Time
	said  time.Time
	bar   *progressbar.ProgressBar // nil where no person is looking
}

func (p *program) newProgress(what string, total uint64) *progress {
	now := time.Now()
	g := &progress{p: p, what: what, total: total, began: now, said: now}
	if isTerminal(p.stderr) {
		most := int64(total)
		if total == 0 {
			most = -1
		}
		g.bar = progressbar.NewOptions64(most,
			progressbar.OptionSetWriter(p.stderr), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("events"),
			progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	return g
}

// at reports that position done of total is reached.
func (g *progress) at(done uint64) {
	if g.bar != nil {
		_ = g.bar.Set64(int64(done)) // a terminal that cannot be written to is no reason to stop
		return
	}
	now := time.Now()
	if now.Sub(g.said) < sayEvery || done == 0 {
		return
	}
	g.said = now
	perSecond := float64(done) / now.Sub(g.began).Seconds()
	if g.total == 0 {
		g.p.say("%s: %d events, %.0f events/s", g.what, done, perSecond)
		return
	}
	left := time.Duration(float64(max(g.total, done)-done) / perSecond * float64(time.Second))
	g.p.say("%s: %d of %d events, %.0f events/s, %s left", g.what, done, g.total, perSecond, left.Round(time.Second))
}

// expect corrects what the total is thought to be.
func (g *progress) expect(total uint64) {
	g.total = total
	if g.bar != nil {
		g.bar.ChangeMax64(int64(total))
	}
}

// end closes the bar; where none was begun there is nothing to do.
func (g *progress) end() {
	if g != nil && g.bar != nil {
		_ = g.bar.Finish()
	}
}
