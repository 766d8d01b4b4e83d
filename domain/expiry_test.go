package domain

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"
)

// everyZone is every whole quarter of an hour within 14 hours of UTC, and places
// that change their clocks around midnight or by odd amounts.
func everyZone(t *testing.T) []*time.Location {
	t.Helper()
	zones := []*time.Location{time.UTC}
	for quarter := -56; quarter <= 56; quarter++ {
		zones = append(zones, time.FixedZone(fmt.Sprintf("%+d min", quarter*15), quarter*15*60))
	}
	for _, name := range []string{
		"America/Asuncion", "America/Havana", "America/Santiago", "America/Sao_Paulo", "America/Scoresbysund", "America/St_Johns", "America/New_York",
		"Asia/Amman", "Asia/Beirut", "Asia/Gaza", "Asia/Kathmandu", "Asia/Tehran", "Asia/Pyongyang", "Africa/Cairo", "Africa/Casablanca",
		"Antarctica/Troll", "Australia/Lord_Howe", "Europe/Zurich", "Europe/Dublin", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati",
		"Pacific/Norfolk", "Pacific/Tongatapu",
	} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		zones = append(zones, zone)
	}
	return zones
}

func TestACardExpiresAtTheFirstInstantOfTheNextMonthInEveryZone(t *testing.T) {
	checked := 0
	for _, zone := range everyZone(t) {
		for year := 2021; year <= 2045; year++ {
			for month := 1; month <= 12; month++ {
				checked++
				next := time.Date(year, time.Month(month)+1, 1, 0, 0, 0, 0, time.UTC)
				inNext := func(at time.Time) bool {
					y, m, _ := at.In(zone).Date()
					return y*12+int(m) >= next.Year()*12+int(next.Month())
				}
				at := CardExpiry(year, month, zone)
				if !inNext(at) {
					t.Fatalf("%s %d/%d: at %s it still is the month of expiry", zone, month, year, at.In(zone))
				}
				// No earlier instant may read as the next month, twice-read hours included.
				for before := time.Nanosecond; before < 27*time.Hour; before += 30 * time.Minute {
					if inNext(at.Add(-before)) {
						t.Fatalf("%s %d/%d: expires at %s, but the month began by %s", zone, month, year, at.In(zone), at.Add(-before).In(zone))
					}
				}
				if at.Location() != time.UTC {
					t.Fatalf("%s: %s is not in UTC", zone, at)
				}
			}
		}
	}
	t.Logf("%d month ends in %d zones", checked, len(everyZone(t)))
}

func TestMidnightsThatAreSkippedOrComeTwice(t *testing.T) {
	for _, row := range []struct {
		zone        string
		year, month int
		want        string
	}{
		{"America/Asuncion", 2023, 9, "2023-10-01T04:00:00Z"}, // midnight is skipped
		{"America/Havana", 2026, 10, "2026-11-01T04:00:00Z"},  // 00:30 comes twice: the first time counts
		{"Europe/Zurich", 2026, 12, "2026-12-31T23:00:00Z"},
		{"UTC", 2028, 2, "2028-03-01T00:00:00Z"},
		{"UTC", 2100, 2, "2100-03-01T00:00:00Z"},
		{"Europe/Zurich", 2040, 12, "2040-12-31T23:00:00Z"}, // a leap year by rule, not by table
		{"America/Havana", 2044, 12, "2045-01-01T05:00:00Z"},
	} {
		zone, err := time.LoadLocation(row.zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := CardExpiry(row.year, row.month, zone).Format(time.RFC3339Nano); got != row.want {
			t.Errorf("%s %d/%d expires at %s, want %s", row.zone, row.month, row.year, got, row.want)
		}
	}
}

func TestWindowsAreWholeDaysWhateverTheClocksDo(t *testing.T) {
	expires := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		name   string
		before time.Duration
		served []int
		want   []int
	}{
		{"long before", 40 * 24 * time.Hour, nil, nil},
		{"an instant before the first", 30*24*time.Hour + 1, nil, nil},
		{"at the first", 30 * 24 * time.Hour, nil, []int{30}},
		{"at the first, served", 30 * 24 * time.Hour, []int{30}, nil},
		{"inside two", 7 * 24 * time.Hour, nil, []int{7, 30}},
		{"inside two, one served", 7 * 24 * time.Hour, []int{30}, []int{7}},
		{"at the last instant", 1, nil, []int{1, 7, 30}},
		{"at the expiry", 0, nil, nil},
		{"after it", -time.Hour, nil, nil},
	} {
		got := WindowsEntered(expires, expires.Add(-row.before), []int{30, 7, 1, 7}, row.served)
		if !slices.Equal(got, row.want) {
			t.Errorf("%s: windows %v, want %v", row.name, got, row.want)
		}
	}
	if got := WindowsEntered(time.Time{}, expires, []int{30}, nil); got != nil {
		t.Errorf("without an expiry: windows %v, want none", got)
	}
}

func TestEachWindowIsServedOnceHoweverTheClockJumps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expires := CardExpiry(rapid.IntRange(2026, 2041).Draw(t, "year"), rapid.IntRange(1, 12).Draw(t, "month"), time.UTC)
		windows := rapid.SliceOfN(rapid.IntRange(1, 365), 0, 5).Draw(t, "windows")
		var served []int
		latest := time.Time{}
		for range rapid.IntRange(1, 30).Draw(t, "looks") {
			now := expires.Add(-time.Duration(rapid.Int64Range(-3600, 400*24*3600).Draw(t, "seconds before")) * time.Second)
			entered := WindowsEntered(expires, now, windows, served)
			if !slices.IsSorted(entered) {
				t.Fatalf("windows %v: the narrowest is not first", entered)
			}
			for _, days := range entered {
				if slices.Contains(served, days) || now.Before(WindowStart(expires, days)) || !now.Before(expires) {
					t.Fatalf("window %d at %s of an expiry at %s, served already: %v", days, now, expires, served)
				}
			}
			served = append(served, entered...)
			if now.Before(expires) && now.After(latest) {
				latest = now
			}
		}
		for _, days := range windows {
			if !latest.Before(WindowStart(expires, days)) && !slices.Contains(served, days) {
				t.Fatalf("window %d was never served; the clock came to %s of %s", days, latest, expires)
			}
		}
	})
}

func TestAttachedInAnyMonthOfAnyZoneSaysWhatIsDueAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := time.FixedZone("", rapid.IntRange(-14*60, 14*60).Draw(t, "minutes east")*60)
		policy := Policy{Settings: DefaultSettings(), Location: zone, MaxMethods: 1}
		year, month := rapid.IntRange(2026, 2041).Draw(t, "year"), rapid.IntRange(1, 12).Draw(t, "month")
		expires := CardExpiry(year, month, zone)
		now := expires.Add(-time.Duration(rapid.Int64Range(-40*24*3600, 40*24*3600).Draw(t, "seconds before")) * time.Second)
		c := NewState("customer-acme+cus_1")
		facts := Facts{Type: TypeCard, Method: "card", Card: &Card{Brand: "visa", Last4: "4242", ExpMonth: month, ExpYear: year}}
		events, err := c.Decide(AttachMethod{MethodID: "pm_1", Type: TypeCard, Facts: facts, Policy: policy}, now)
		if err != nil {
			t.Fatal(err)
		}
		if got := events[0].(MethodAttached).ExpiresAt; !got.Equal(expires) {
			t.Fatalf("expires at %s, want %s", got, expires)
		}
		var want []Event
		if left := expires.Sub(now); left <= 0 {
			want = []Event{MethodExpired{MethodID: "pm_1", ExpiresAt: expires}}
		} else if entered := WindowsEntered(expires, now, []int{30, 7, 1}, nil); len(entered) > 0 {
			want = []Event{MethodExpiring{MethodID: "pm_1", ExpiresAt: expires, Window: entered[0], Served: entered}}
		}
		if got := events[2:]; len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("%s before the expiry: %v, want %v", expires.Sub(now), got, want)
		}
	})
}

func BenchmarkCardExpiry(b *testing.B) {
	zone, err := time.LoadLocation("Europe/Zurich")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		CardExpiry(2034, 12, zone)
	}
}
