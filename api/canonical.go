package api

import (
	"slices"
	"strconv"
	"strings"
)

// appendCanonical writes a JSON value in its one canonical form: members sorted
// by name, no space, every number as the shortest text of its float64 (no shape has
// one beyond that), every string with a length before it. It is fed to a keyed hash and never parsed.
func appendCanonical(to []byte, v *value) []byte {
	switch v.kind {
	case kindNull:
		return append(to, 'n')
	case kindBool:
		return append(to, v.text[0])
	case kindNumber:
		f, _ := strconv.ParseFloat(v.text, 64) // out of range is infinity
		return append(strconv.AppendFloat(append(to, '#'), f, 'g', -1, 64), ';')
	case kindString:
		return appendCounted(append(to, '"'), v.text)
	case kindArray:
		to = append(to, '[')
		for i := range v.items {
			to = appendCanonical(to, &v.items[i])
		}
		return append(to, ']')
	default:
		order := make([]int, len(v.names))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return strings.Compare(v.names[a], v.names[b]) })
		to = append(to, '{')
		for _, i := range order {
			to = appendCanonical(appendCounted(to, v.names[i]), &v.items[i])
		}
		return append(to, '}')
	}
}

func appendCounted(to []byte, s string) []byte {
	to = strconv.AppendInt(to, int64(len(s)), 10)
	return append(append(to, ':'), s...)
}
