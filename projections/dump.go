package projections

import (
	"bufio"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// Dump writes everything the views hold, key by key, in an order and form that
// depend on the log alone: two rebuilds of one log write the same bytes. Nothing
// may be applied meanwhile.
func (v *Views) Dump(w io.Writer) error {
	if err := v.enter(); err != nil {
		return err
	}
	defer v.leave()
	out := bufio.NewWriter(w)
	for _, s := range v.Status() {
		fmt.Fprintf(out, "%s %s\n", s.Projection, s.Position)
	}
	// When checkpoints were written depends on how the log was cut into batches.
	it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: []byte{tableMeta + 1}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			break
		}
		fmt.Fprintf(out, "%q %q\n", it.Key(), value)
	}
	if err := it.Close(); err != nil {
		return v.checked(err)
	}
	return out.Flush()
}
