package api

import (
	"net/http"
	"regexp"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/projections"
)

// methodHistory answers GET /v1/payment-methods/{id}/history, oldest first.
func methodHistory(c *call) error {
	q := projections.EventQuery{Method: domain.MethodID(c.params[0]), Ascending: true, Limit: c.queryLimit()}
	after, err := c.begin()
	if err != nil {
		return err
	}
	if _, err := c.methodRow(q.Method); err != nil {
		return err
	}
	q.After = after
	page, err := c.Views.Events(c.who.organization, q)
	c.seen = c.Views.Position()
	return c.page(page, err)
}

// begin ends the reading of a list's request: its faults, its cursor, and the
// wait for what it must show.
func (c *call) begin() (after string, err error) {
	if err := c.checked(); err != nil {
		return "", err
	}
	if after, err = c.cursorPlace(); err != nil {
		return "", err
	}
	return after, c.await()
}

var eventTypeForm = regexp.MustCompile(`^[a-z_]{1,40}\.[a-z_]{1,60}$`)

// listEvents answers GET /v1/events, newest first.
func listEvents(c *call) error {
	q := projections.EventQuery{
		Customer: c.queryCustomer(), Method: c.queryMethod("payment_method_id"), Type: c.query.Get("type"), Limit: c.queryLimit(),
	}
	if c.query.Has("type") && !eventTypeForm.MatchString(q.Type) {
		c.add("query.type", "must be the name of an event, such as payment_method.expiring")
	}
	after, err := c.begin()
	if err != nil {
		return err
	}
	if q.Method != "" {
		// The history of a method is kept by its id alone; whose it is stands in its row.
		if _, found, err := c.Views.Method(c.who.organization, q.Method); err != nil || !found {
			c.seen = c.Views.Position()
			return c.page(projections.Page{}, err)
		}
	}
	q.After = after
	page, err := c.Views.Events(c.who.organization, q)
	c.seen = c.Views.Position()
	return c.page(page, err)
}

// getEvent answers GET /v1/events/{id} with the bytes that went over NATS.
func getEvent(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	if err := c.await(); err != nil {
		return err
	}
	id, ok := domain.ParseEventID(c.params[0])
	if !ok {
		return eventNotFound()
	}
	body, found, err := c.Views.Event(c.who.organization, id)
	if err == nil && !found {
		if err = c.catchUp(); err == nil {
			body, found, err = c.Views.Event(c.who.organization, id)
		}
	}
	c.seen = c.Views.Position()
	switch {
	case err != nil:
		return err
	case !found:
		return eventNotFound()
	}
	c.answer.Header()["Cache-Control"] = headerPrivate
	return c.json(http.StatusOK, body)
}

func eventNotFound() error {
	return domain.Refuse(domain.CodeEventNotFound, "there is no such event")
}
