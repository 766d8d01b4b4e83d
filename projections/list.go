package projections

import (
	"encoding/hex"

	"github.com/cockroachdb/pebble/v2"
)

// Bounds of a list.
const (
	DefaultLimit = 20
	MaxLimit     = 100
	// ScanLimit is how many entries one page may look at. A filter that few
	// pass leads to short pages, not to a long wait.
	ScanLimit = 10_000
)

// Page is a part of a list.
type Page struct {
	Items [][]byte // JSON objects
	// Next continues the list when it is given as After; empty at the end. It
	// names a place in the order, not a page number, so that what is inserted
	// meanwhile neither repeats nor hides an item. It is not signed.
	Next string
}

// list is a range of keys to walk through. The zero list is empty.
type list struct {
	prefix   []byte
	from, to []byte // keys; to is exclusive
	backward bool
	suffix   int // bytes of the key's end that order it, and make a cursor
}

// continueAfter moves the range behind the place that a cursor names.
func (l *list) continueAfter(cursor string) error {
	if cursor == "" {
		return nil
	}
	suffix, err := decodeCursor(cursor, l.suffix)
	if err != nil {
		return err
	}
	at := append(append([]byte(nil), l.prefix...), suffix...)
	if l.backward {
		if string(at) < string(l.to) {
			l.to = at
		}
		return nil
	}
	if next := append(at, 0); string(next) > string(l.from) {
		l.from = next
	}
	return nil
}

// page walks a list and collects what item returns for its keys; nil is left out.
func (v *Views) page(l list, limit int, item func(key []byte) ([]byte, error)) (Page, error) {
	if limit < 1 {
		limit = DefaultLimit
	}
	limit = min(limit, MaxLimit)
	if l.suffix == 0 || string(l.from) >= string(l.to) {
		return Page{}, nil
	}
	if err := v.enter(); err != nil {
		return Page{}, err
	}
	defer v.leave()
	it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: l.from, UpperBound: l.to})
	if err != nil {
		return Page{}, v.checked(err)
	}
	page, err := l.collect(it, limit, item)
	if closeErr := it.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return Page{}, v.checked(err)
	}
	return page, nil
}

func (l list) collect(it *pebble.Iterator, limit int, item func(key []byte) ([]byte, error)) (Page, error) {
	step, ok := it.Next, it.First
	if l.backward {
		step, ok = it.Prev, it.Last
	}
	var page Page
	var last []byte // place of the last item, or of the last key looked at
	scanned := 0
	for valid := ok(); valid; valid = step() {
		if scanned == ScanLimit {
			page.Next = encodeCursor(last)
			return page, it.Error()
		}
		scanned++
		key := it.Key()
		found, err := item(key)
		if err != nil {
			return Page{}, err
		}
		if found != nil && len(page.Items) == limit {
			page.Next = encodeCursor(last)
			return page, it.Error()
		}
		if found != nil {
			page.Items = append(page.Items, found)
		}
		if found != nil || len(page.Items) < limit {
			last = append(last[:0], key[len(key)-l.suffix:]...)
		}
	}
	return page, it.Error()
}

// encodeCursor and decodeCursor write the part of a key that orders as text.
func encodeCursor(suffix []byte) string { return hex.EncodeToString(suffix) }

func decodeCursor(cursor string, size int) ([]byte, error) {
	suffix, err := hex.DecodeString(cursor)
	if err != nil || len(suffix) != size {
		return nil, ErrCursor
	}
	return suffix, nil
}
