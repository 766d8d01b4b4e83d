package projections_test

import (
	"strings"
	"testing"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/projections"
)

// A list is read while the default moves from one method to the next. Whenever that
// is, just one is the default.
func TestAListShowsOneMoment(t *testing.T) {
	l := newLedger(t)
	v := views(l)
	var ids []domain.MethodID
	for range 40 {
		ids = append(ids, l.attach("acme", "cus_1"))
	}
	v.caughtUp(l.store)
	stop, read := make(chan struct{}), make(chan string, 1)
	go func() {
		defer close(read)
		for {
			select {
			case <-stop:
				return
			default:
			}
			page, err := v.Methods("acme", projections.MethodQuery{Customer: "cus_1", Limit: projections.MaxLimit})
			if err != nil {
				read <- err.Error()
				return
			}
			var all strings.Builder
			for _, item := range page.Items {
				all.Write(item)
			}
			if strings.Count(all.String(), `"is_default":true`) != 1 {
				read <- all.String()
				return
			}
		}
	}()
	for i := range 4_000 {
		l.execute("customer-acme+cus_1", domain.SetDefault{MethodID: ids[(i+1)%len(ids)]})
		v.caughtUp(l.store) // so that each is a batch of its own
	}
	close(stop)
	for wrong := range read {
		t.Errorf("a list with another number of defaults than one: %s", wrong)
	}
}
