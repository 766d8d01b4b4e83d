package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/planted"
	"github.com/pmledger/pmledger/projections"
)

// await makes the views recent enough for this read: at least as recent as
// everything this node has appended, and as the position that the client asks for
// in Ledger-Min-Position ("head": the log's head as of now, so that the read is
// linearizable). It waits for WaitTimeout at most, then refuses with
// position.not_reached: an old answer is never given silently.
func (c *call) await() error {
	target, head, err := c.minPosition()
	if err != nil {
		return err
	}
	if planted.SkipWait.Here() {
		return nil
	}
	if target = max(target, c.Ledger.Written()); !head && c.Views.Position() >= target {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.request.Context(), c.WaitTimeout)
	defer cancel()
	if head && !planted.OwnHead.Here() {
		now, err := c.Ledger.Head(ctx)
		if err != nil {
			return err
		}
		target = max(target, now)
	}
	return c.reached(ctx, target)
}

// minPosition reads Ledger-Min-Position: a position, or "head".
func (c *call) minPosition() (position eventstore.Position, head bool, err error) {
	const name = "Ledger-Min-Position"
	asked := c.request.Header.Get(name)
	if len(c.request.Header[name]) > 1 {
		c.add("header."+name, "is given more than once")
		return 0, false, c.checked()
	}
	if asked == "" || asked == "head" {
		return 0, asked == "head", nil
	}
	if position, err = eventstore.ParsePosition(asked); err != nil {
		c.add("header."+name, `must be a Ledger-Position of an earlier answer, or "head"`)
		return 0, false, c.checked()
	}
	return position, false, nil
}

// awaitLog does what await does for a read that folds the log itself: what is in
// the log is there at once, with or without views.
func (c *call) awaitLog() error {
	asked, _, err := c.minPosition()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.request.Context(), c.WaitTimeout)
	defer cancel()
	if c.seen, err = c.Ledger.Head(ctx); err != nil {
		return err
	}
	if c.seen < asked {
		return notReached()
	}
	return nil
}

func notReached() error {
	return domain.Refuse(codePositionNotReached, "the position that this read needs is not reached yet; try again")
}

// reached waits until the views have applied a position.
func (c *call) reached(ctx context.Context, p eventstore.Position) error {
	err := c.Views.Wait(ctx, p)
	switch {
	case err == nil:
		return nil
	case c.request.Context().Err() != nil:
		return c.request.Context().Err()
	default:
		return notReached()
	}
}

// checked ends the reading of a request: every fault at once, or nothing wrong.
func (c *call) checked() error { return c.faults.err() }

// methodRow finds a payment method of the caller's organization. Before it says
// that there is none, it waits for the log's head as of now.
func (c *call) methodRow(id domain.MethodID) (projections.MethodRow, error) {
	if id.Valid() {
		row, found, err := c.Views.Method(c.who.organization, id)
		if err == nil && !found {
			if err = c.catchUp(); err == nil {
				row, found, err = c.Views.Method(c.who.organization, id)
			}
		}
		if err != nil || found {
			c.seen = c.Views.Position()
			return row, err
		}
		c.seen = c.Views.Position()
	}
	return projections.MethodRow{}, methodNotFound()
}

// methodRowAt reads a payment method as it was. It waits for the log's head as of
// now first: what was true then must not change when the views learn more.
func (c *call) methodRowAt(id domain.MethodID, at time.Time) (projections.MethodRow, error) {
	if err := c.catchUp(); err != nil {
		return projections.MethodRow{}, err
	}
	row, found, err := c.Views.MethodAt(c.who.organization, id, at)
	c.seen = c.Views.Position()
	if err == nil && !found {
		err = methodNotFound()
	}
	return row, err
}

// methodNotFound does not repeat the id: what looks like an id may be anything.
func methodNotFound() error {
	return domain.Refuse(domain.CodeMethodNotFound, "there is no such payment method")
}

// getMethod answers GET /v1/payment-methods/{id} from the prepared bytes.
func getMethod(c *call) error {
	at, asOf := c.asOf()
	if err := c.checked(); err != nil {
		return err
	}
	if err := c.await(); err != nil {
		return err
	}
	id := domain.MethodID(c.params[0])
	var row projections.MethodRow
	var err error
	if asOf {
		row, err = c.methodRowAt(id, at)
	} else {
		row, err = c.methodRow(id)
	}
	if err != nil {
		return err
	}
	return c.object(row.JSON, row.Version)
}

// asOf reads ?as_of=, a moment that is not in the future.
func (c *call) asOf() (time.Time, bool) {
	at := c.queryTime("as_of")
	if at.IsZero() {
		return at, c.query.Has("as_of")
	}
	if now, err := c.present(); err == nil && at.After(now) { // an error comes back when the log is read
		c.add("query.as_of", "must not be in the future")
	}
	return at, c.query.Has("as_of")
}

// customerAt is a customer's state as it was, folded from the log.
func (c *call) customerAt(stream string, at time.Time) (*domain.Customer, error) {
	state, err := c.Ledger.StateAt(c.request.Context(), stream, at)
	if err != nil {
		return nil, err
	}
	return state.(*domain.Customer), nil
}

// object answers with a payment method and its ETag, or with 304 when the client
// has it already.
func (c *call) object(body []byte, version uint64) error {
	h := c.answer.Header()
	etag := etagOf(version)
	h["Etag"] = []string{etag}
	h["Cache-Control"] = headerPrivate
	if known := c.request.Header["If-None-Match"]; len(known) > 0 && anyMatches(known, etag) {
		c.position()
		c.answer.WriteHeader(http.StatusNotModified)
		return nil
	}
	return c.json(http.StatusOK, body)
}

func etagOf(version uint64) string {
	return string(append(strconv.AppendUint(append(make([]byte, 0, 24), '"'), version, 10), '"'))
}

// anyMatches compares weakly, as If-None-Match does (RFC 9110, 13.1.2).
func anyMatches(lists []string, etag string) bool {
	for _, list := range lists {
		for tag := range strings.SplitSeq(list, ",") {
			tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
			if tag == etag || tag == "*" {
				return true
			}
		}
	}
	return false
}
