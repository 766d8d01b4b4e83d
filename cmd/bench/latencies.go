package main

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latencies counts durations to three digits, from a microsecond to a minute.
type latencies struct{ counts *hdrhistogram.Histogram }

func newLatencies() latencies {
	return latencies{hdrhistogram.New(1, time.Minute.Microseconds(), 3)}
}

// record counts a duration. What is shorter or longer than what can be told counts
// as the shortest or longest.
func (l latencies) record(d time.Duration) {
	_ = l.counts.RecordValue(min(max(d.Microseconds(), 1), time.Minute.Microseconds())) // in range
}

func (l latencies) count() int64 { return l.counts.TotalCount() }

// ms is a percentile in milliseconds.
func (l latencies) ms(percentile float64) float64 {
	return float64(l.counts.ValueAtPercentile(percentile)) / 1000
}

// msOrNone is ms, or none of what was not measured.
func (l latencies) msOrNone(percentile float64) float64 {
	if l.counts == nil {
		return none
	}
	return l.ms(percentile)
}

func (l latencies) String() string {
	return fmt.Sprintf("p50 %s, p99 %s ms", number(l.ms(50)), number(l.ms(99)))
}
