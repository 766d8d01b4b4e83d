package domain

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// fifteenYears is a customer with a card for every month of 15 years, in one zone,
// and the clock that looks at them. The clock stops, leaps ahead, falls back and
// starts again from the log.
type fifteenYears struct {
	t       *testing.T
	zone    *time.Location
	random  *rand.Rand
	policy  Policy
	now     time.Time // of the wall
	latest  time.Time // of the last event; time in a stream never goes back
	state   *Customer
	records []stored
	cards   []*aging
	due     map[MethodID]time.Time
	figures *clockFigures
}

// aging is one card, with what the test knows of it without asking the ledger.
type aging struct {
	id                   MethodID
	year, month          int
	expires              time.Time
	attachAt, detachAt   time.Time // zero: not detached
	attached, isDetached bool
	paused               bool
	told                 map[int]time.Time // windows, 0 for expired
	looked               map[int]time.Time // when the clock first could have told
}

type clockFigures struct {
	zones, cards, looks, restarts, back, ahead, notices, expired, missed, double, afterDetach, late int
}

func TestTheClockOverFifteenYears(t *testing.T) {
	figures := &clockFigures{}
	for i, zone := range clockZones(t) {
		figures.zones++
		y := newFifteenYears(t, zone, uint64(i), figures)
		for y.now.Before(time.Date(2042, 1, 1, 0, 0, 0, 0, time.UTC)) {
			y.look()
			y.pass()
		}
		y.judge()
	}
	f := figures
	t.Logf("%d cards in %d zones, %d looks at the clock, %d restarts, %d jumps ahead and %d back: %d windows told, %d cards expired; %d missed, %d late, %d double, %d on a detached card",
		f.cards, f.zones, f.looks, f.restarts, f.ahead, f.back, f.notices, f.expired, f.missed, f.late, f.double, f.afterDetach)
	if f.missed+f.double+f.late+f.afterDetach > 0 {
		t.Error("the clock is not right")
	}
	if f.notices < 10_000 || f.restarts < 100 || f.back < 100 {
		t.Error("the clock was not tried enough to say so")
	}
}

// clockZones are all whole hours within 14 of UTC, and places with odd rules.
func clockZones(t *testing.T) []*time.Location {
	var zones []*time.Location
	for hours := -14; hours <= 14; hours++ {
		zones = append(zones, time.FixedZone(fmt.Sprintf("%+d h", hours), hours*3600))
	}
	for _, name := range []string{"Europe/Zurich", "America/Havana", "America/Asuncion", "Asia/Kathmandu", "Pacific/Apia"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		zones = append(zones, zone)
	}
	return zones
}

func newFifteenYears(t *testing.T, zone *time.Location, seed uint64, figures *clockFigures) *fifteenYears {
	y := &fifteenYears{
		t: t, zone: zone, random: rand.New(rand.NewPCG(15, seed)), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), figures: figures,
		state: NewState("customer-acme+cus_1").(*Customer), due: map[MethodID]time.Time{},
		policy: Policy{Settings: DefaultSettings(), Location: zone, MaxMethods: 1000},
	}
	for month := range 15 * 12 {
		a := &aging{
			id: MethodID(fmt.Sprintf("pm_%d", month)), year: 2026 + month/12, month: month%12 + 1,
			told: map[int]time.Time{}, looked: map[int]time.Time{}, paused: month%5 == 0,
		}
		// The end of the month by another road than the ledger's: the first minute
		// that reads as the next month.
		a.expires = time.Date(a.year, time.Month(a.month)+1, 1, 0, 0, 0, 0, time.UTC).Add(-15 * time.Hour)
		for a.expires.In(zone).Month() == time.Month(a.month) {
			a.expires = a.expires.Add(time.Minute)
		}
		a.attachAt = y.now
		if month%3 == 0 { // some come late: inside a window, or expired already
			a.attachAt = a.expires.Add(-time.Duration(y.random.Int64N(int64(45*24*time.Hour))) + 3*24*time.Hour)
		}
		if month%7 == 0 {
			a.detachAt = a.expires.Add(-time.Duration(y.random.Int64N(int64(40 * 24 * time.Hour))))
		}
		y.cards = append(y.cards, a)
	}
	figures.cards += len(y.cards)
	return y
}

// pass moves the clock: to the next thing that is due, to the instant before it,
// by hours, by months, or back.
func (y *fifteenYears) pass() {
	next := time.Time{}
	for _, at := range y.due {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	switch draw := y.random.IntN(20); {
	case draw < 4 && y.now.Before(next):
		y.now = next
	case draw < 6 && y.now.Before(next.Add(-time.Millisecond)):
		y.now = next.Add(-time.Millisecond)
	case draw == 6:
		y.figures.ahead++
		y.now = y.now.Add(time.Duration(y.random.Int64N(int64(75 * 24 * time.Hour))))
	case draw == 7:
		y.figures.back++
		y.now = y.now.Add(-time.Duration(y.random.Int64N(int64(10 * 24 * time.Hour))))
	case draw == 8:
		y.restart()
	default:
		y.now = y.now.Add(time.Duration(y.random.Int64N(int64(8 * 24 * time.Hour))))
	}
	y.now = y.now.Truncate(time.Millisecond)
}

// restart forgets the state and folds the log again.
func (y *fifteenYears) restart() {
	y.figures.restarts++
	y.state = NewState("customer-acme+cus_1").(*Customer)
	for _, r := range y.records {
		e, err := Decode(r.name, Schema, r.data)
		if err != nil {
			y.t.Fatal(err)
		}
		y.state.Evolve(e, r.at)
	}
	clear(y.due)
	for id := range y.state.Methods {
		y.plan(id)
	}
}

func (y *fifteenYears) plan(id MethodID) {
	if at, ok := y.state.Methods[id].ExpiryDue(y.policy.ExpiryWindowsDays); ok {
		y.due[id] = at
	} else {
		delete(y.due, id)
	}
}

// look is what the clock does when it wakes: it attaches and detaches what the
// customer asked for meanwhile, and then says what is due.
func (y *fifteenYears) look() {
	y.figures.looks++
	at := y.now
	if at.Before(y.latest) {
		at = y.latest
	}
	for _, a := range y.cards {
		switch {
		case !a.attached && !y.now.Before(a.attachAt):
			a.attached = true
			facts := Facts{Type: TypeCard, Method: "card", Card: &Card{Brand: "visa", Last4: "4242", ExpMonth: a.month, ExpYear: a.year}}
			y.decide(AttachMethod{MethodID: a.id, Type: TypeCard, Facts: facts, Paused: a.paused, Policy: y.policy}, at)
			a.possible(at)
		case a.attached && !a.isDetached && !a.detachAt.IsZero() && !y.now.Before(a.detachAt):
			a.isDetached = true
			y.decide(DetachMethod{MethodID: a.id}, at)
		}
		if due, ok := y.due[a.id]; ok && !due.After(at) {
			y.decide(MarkExpiry{MethodID: a.id, Policy: y.policy}, at)
		}
		a.possible(at)
	}
}

// possible notes what could be told at this moment for the first time.
func (a *aging) possible(at time.Time) {
	if !a.attached || a.isDetached {
		return
	}
	for _, days := range []int{30, 7, 1, 0} {
		_, known := a.looked[days]
		begun := !at.Before(a.expires.Add(-time.Duration(days) * 24 * time.Hour))
		if !known && begun && (days == 0 || at.Before(a.expires)) {
			a.looked[days] = at
		}
	}
}

func (y *fifteenYears) decide(cmd Command, at time.Time) {
	events, err := y.state.Decide(cmd, at)
	if err != nil {
		y.t.Fatalf("%s at %s in %s: %v", cmd.CommandName(), at, y.zone, err)
	}
	for _, e := range events {
		if err := Contradiction(y.state, e); err != nil {
			y.t.Fatal(err)
		}
		name, data, err := Encode(e)
		if err != nil {
			y.t.Fatal(err)
		}
		y.records = append(y.records, stored{name, data, at})
		y.state.Evolve(e, at)
		y.latest = at
		y.hear(e, at)
		for _, id := range MethodsOf(e) {
			y.plan(id)
		}
	}
}

// hear notes what the clock said, and what it should not have.
func (y *fifteenYears) hear(e Event, at time.Time) {
	var days []int
	switch e := e.(type) {
	case MethodExpiring:
		days = e.Served
	case MethodExpired:
		days = []int{0}
	default:
		return
	}
	var number int
	if _, err := fmt.Sscanf(string(MethodsOf(e)[0]), "pm_%d", &number); err != nil {
		y.t.Fatal(err)
	}
	a := y.cards[number]
	if a.isDetached {
		y.figures.afterDetach++
	}
	for _, d := range days {
		if _, again := a.told[d]; again {
			y.figures.double++
		}
		a.told[d] = at
	}
}

// judge compares what was told with what could have been.
func (y *fifteenYears) judge() {
	for _, a := range y.cards {
		y.figures.notices += len(a.told)
		if _, ok := a.told[0]; ok {
			y.figures.expired++
			y.figures.notices--
		}
		for days, possible := range a.looked {
			told, ok := a.told[days]
			switch {
			case !ok:
				y.figures.missed++
				y.t.Errorf("%s in %s: %d days before %s was not told, though the clock was looked at on %s", a.id, y.zone, days, a.expires, possible)
			case !told.Equal(possible):
				y.figures.late++
				y.t.Errorf("%s in %s: %d days before %s was told on %s, not on %s", a.id, y.zone, days, a.expires, told, possible)
			}
		}
		for days, told := range a.told {
			if _, ok := a.looked[days]; !ok {
				y.figures.double++
				y.t.Errorf("%s in %s: %d days before %s was told on %s, when it could not be", a.id, y.zone, days, a.expires, told)
			}
		}
	}
}
