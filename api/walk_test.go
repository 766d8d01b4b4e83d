package api

import (
	"encoding/json"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Walking a list by its cursors shows everything that was there when the walk
// began exactly once, in order, while others attach and detach.
func TestAWalkThroughPagesShowsEachOnceWhileOthersWrite(t *testing.T) {
	b := newBench(t)
	walk := 0
	rapid.Check(t, func(t *rapid.T) {
		walk++
		customer := fmt.Sprintf("walk_%d", walk)
		path := "/v1/customers/" + customer + "/payment-methods"
		n := 0
		attach := func() string {
			n++
			a := b.do("POST", path, fmt.Sprintf(`{"type":"card","token":"tok_visa_fp_%d"}`, n))
			if a.status != 201 {
				t.Fatal(a.body)
			}
			return idIn(a.body)
		}
		var want []string // newest first
		for range rapid.IntRange(0, 25).Draw(t, "methods") {
			want = append([]string{attach()}, want...)
		}
		var got []string
		target := path + "?include_removed=true"
		for cursor := ""; ; {
			page := fmt.Sprintf("%s&limit=%d", target, rapid.IntRange(1, 9).Draw(t, "limit"))
			if cursor != "" {
				page += "&cursor=" + cursor
			}
			a := b.do("GET", page, "")
			var list struct {
				Data       []struct{ ID string }
				HasMore    bool    `json:"has_more"`
				NextCursor *string `json:"next_cursor"`
			}
			if err := json.Unmarshal([]byte(a.body), &list); err != nil || a.status != 200 {
				t.Fatal(a.body)
			}
			for _, m := range list.Data {
				got = append(got, m.ID)
			}
			if list.HasMore != (list.NextCursor != nil) || list.HasMore != (a.header.Get("Link") != "") {
				t.Fatalf("has_more, next_cursor and Link disagree: %s", a.body)
			}
			if !list.HasMore {
				break
			}
			cursor = *list.NextCursor
			switch rapid.IntRange(0, 2).Draw(t, "meanwhile") {
			case 0:
				attach()
			case 1:
				if a := b.do("DELETE", "/v1/payment-methods/"+want[rapid.IntRange(0, len(want)-1).Draw(t, "which")], ""); a.status != 200 {
					t.Fatal(a.body)
				}
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("walked %v, want %v", got, want)
		}
	})
}
