package projections

// ListedWork names the items of gateway work that the views list: kind, stream
// and subject.
func ListedWork(v *Views) []string {
	items, err := v.dueWork(0, 1<<20)
	if err != nil {
		panic(err)
	}
	var out []string
	for _, w := range items {
		out = append(out, w.kind.String()+" "+w.stream+" "+w.subject)
	}
	return out
}

// OpenWork counts them.
func OpenWork(v *Views) int { return len(ListedWork(v)) }
