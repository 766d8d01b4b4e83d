package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes, written with a unit: 512, 64KiB, 256MiB, 10GB.
type Size uint64

// sizeUnits, larger ones first, binary before decimal.
func sizeUnits() []struct {
	name  string
	bytes uint64
} {
	return []struct {
		name  string
		bytes uint64
	}{
		{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
		{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
	}
}

// UnmarshalText reads a size. A number without a unit is in bytes.
func (s *Size) UnmarshalText(text []byte) error {
	digits := strings.TrimSpace(string(text))
	factor := uint64(1)
	for _, u := range sizeUnits() {
		if rest, ok := strings.CutSuffix(digits, u.name); ok {
			digits, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > math.MaxUint64/factor {
		return fmt.Errorf("%q is not a size such as 256MiB or 2GB", text)
	}
	*s = Size(n * factor)
	return nil
}

// String writes the size in the largest binary unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits()[:4] {
		if s > 0 && uint64(s)%u.bytes == 0 {
			return strconv.FormatUint(uint64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatUint(uint64(s), 10) + "B"
}
