package domain

import (
	"testing"
	"time"
)

func TestWhatIsDueFirstIsTheClocksNextConcern(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2030, 1, 1+n, 0, 0, 0, 0, time.UTC) }
	mandate := func(lapses int) *Mandate { return &Mandate{Status: "active", ExpiresAt: day(lapses)} }
	for name, row := range map[string]struct {
		m    Method
		want time.Time // zero: never
	}{
		"nothing that ends":               {Method{Status: StatusActive}, time.Time{}},
		"the widest window":               {Method{Status: StatusActive, ExpiresAt: day(100)}, day(70)},
		"the next window":                 {Method{Status: StatusPaused, ExpiresAt: day(100), WindowsServed: []int{30}}, day(93)},
		"the end":                         {Method{Status: StatusActive, ExpiresAt: day(100), WindowsServed: []int{1, 7, 30}}, day(100)},
		"the end, told":                   {Method{Status: StatusExpired, ExpiresAt: day(100)}, time.Time{}},
		"a blocked method":                {Method{Status: StatusBlocked, ExpiresAt: day(100)}, time.Time{}},
		"a mandate":                       {Method{Status: StatusActive, Facts: Facts{Mandate: mandate(90)}}, day(60)},
		"a mandate, told":                 {Method{Status: StatusActive, Facts: Facts{Mandate: mandate(90)}, MandateNoticed: true}, time.Time{}},
		"a mandate before the expiry":     {Method{Status: StatusActive, ExpiresAt: day(100), Facts: Facts{Mandate: mandate(90)}}, day(60)},
		"an expiry before the mandate":    {Method{Status: StatusActive, ExpiresAt: day(100), Facts: Facts{Mandate: mandate(110)}}, day(70)},
		"a mandate that does not end":     {Method{Status: StatusActive, Facts: Facts{Mandate: &Mandate{Status: "active"}}}, time.Time{}},
		"a mandate that is over":          {Method{Status: StatusActive, Facts: Facts{Mandate: &Mandate{Status: "inactive", ExpiresAt: day(90)}}}, time.Time{}},
		"a wider window chosen too late":  {Method{Status: StatusActive, ExpiresAt: day(100), WindowsServed: []int{1}}, day(100)},
		"a mandate of a method that left": {Method{Status: StatusDetached, Facts: Facts{Mandate: mandate(90)}}, time.Time{}},
	} {
		due, ok := row.m.ExpiryDue([]int{30, 7, 1})
		if ok == row.want.IsZero() || !due.Equal(row.want) {
			t.Errorf("%s: due %s, %v; want %s", name, due, ok, row.want)
		}
	}
}
