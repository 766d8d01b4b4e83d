// Package torture is what the campaigns have in common: tests that break things on
// purpose, count what they broke, and count what did not hold.
//
// A campaign is an ordinary test. It runs in its short size with all other tests;
// cmd/torture runs it in a larger size and puts what it reports on one page.
package torture

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// The environment of a campaign, set by cmd/torture.
const (
	SizeEnv   = "PMLEDGER_TORTURE"        // "page" or "long"; else short
	SeedEnv   = "PMLEDGER_TORTURE_SEED"   // a decimal number; without it 1 in the short size, else chosen
	ReportEnv = "PMLEDGER_TORTURE_REPORT" // file to append one JSON line of each Report to
)

// Size picks how much a campaign does: short takes seconds and runs with the other
// tests, page is what make torture has time for, long is what a release is held to.
func Size[T any](short, page, long T) T {
	switch os.Getenv(SizeEnv) {
	case "page":
		return page
	case "long":
		return long
	}
	return short
}

// Seed is what all random choices of a campaign must follow from. It is printed
// with the test, so that a failure can be repeated.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := Size(func() uint64 { return 1 }, rand.Uint64, rand.Uint64)()
	if text, ok := os.LookupEnv(SeedEnv); ok {
		given, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s is not a number: %q", SeedEnv, text)
		}
		seed = given
	}
	t.Logf("seed %d; the same again with %s=%d", seed, SeedEnv, seed)
	return seed
}

// Repeat calls f n times, from as many goroutines as there are cores; each has random
// numbers of its own, which follow from the seed.
func Repeat(t testing.TB, n int, seed uint64, f func(random *rand.Rand)) {
	t.Helper()
	var begun atomic.Int64
	var working sync.WaitGroup
	for core := range runtime.GOMAXPROCS(0) {
		random := rand.New(rand.NewPCG(seed, uint64(core)))
		working.Go(func() {
			for begun.Add(1) <= int64(n) && t.Context().Err() == nil {
				f(random)
			}
		})
	}
	working.Wait()
}

// Report is what a campaign counted, one row of the page. A violation fails the
// test.
type Report struct {
	Campaign   string   `json:"campaign"`
	Seed       uint64   `json:"seed,omitempty"` // 0: nothing was random
	Counts     []Figure `json:"counts"`         // how much was tried
	Violations []Figure `json:"violations"`     // what did not hold; all 0, or the test fails
}

// Figure is a number with the words that follow it, such as 2 000 "kill points".
type Figure struct {
	Number int64  `json:"number"`
	What   string `json:"what"`
}

// Count makes a figure of any number.
func Count[N ~int | ~int64 | ~uint64](n N, what string) Figure { return Figure{int64(n), what} }

// Add fails the test for each violation and hands the report to whoever asked for
// it.
func Add(t testing.TB, r Report) {
	t.Helper()
	for _, f := range r.Violations {
		if f.Number != 0 {
			t.Errorf("%s: %d %s", r.Campaign, f.Number, f.What)
		}
	}
	for _, f := range r.Counts {
		t.Logf("%s: %d %s", r.Campaign, f.Number, f.What)
	}
	path := os.Getenv(ReportEnv)
	if path == "" {
		return
	}
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(append(line, '\n')); err != nil {
		t.Error(err)
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
}
