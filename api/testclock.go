package api

import (
	"net/http"
	"time"

	"github.com/pmledger/pmledger/domain"
)

// TestClockRequest sets the time of a test organization.
type TestClockRequest struct {
	Now time.Time `json:"now" example:"2031-12-15T00:00:00Z" doc:"Not earlier than the organization's present time, and not later than 9000-01-01T00:00:00Z"`
}

// TestClock is the time of a test organization.
type TestClock struct {
	Object      string    `json:"object" enum:"test_clock" example:"test_clock"`
	Now         time.Time `json:"now" doc:"The organization's present time"`
	StandsStill bool      `json:"stands_still" doc:"Whether the clock was set; then it stands still until it is set again. Otherwise it is real time"`
}

// testClock is the time at which the caller's organization stands still, or zero
// for real time.
func (c *call) testClock() (time.Time, error) {
	if c.who.mode != domain.ModeTest {
		return time.Time{}, nil
	}
	organization, err := c.organization(c.request.Context())
	if err != nil {
		return time.Time{}, err
	}
	return organization.Clock, nil
}

// present is the organization's time: that of its test clock, or the machine's.
// What concerns the API itself (keys, rate limits) goes by the machine's.
func (c *call) present() (time.Time, error) {
	now, err := c.testClock()
	if err != nil || !now.IsZero() {
		return now, err
	}
	return c.Now(), nil
}

// getTestClock answers GET /v1/test-clock.
func getTestClock(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	if err := c.awaitLog(); err != nil {
		return err
	}
	organization, err := c.organization(c.request.Context())
	if err != nil {
		return err
	}
	if c.who.mode != domain.ModeTest {
		return domain.Refuse(domain.CodeForbidden, "the test clock works in test organizations only")
	}
	return c.reply(http.StatusOK, c.shownClock(organization))
}

func (c *call) shownClock(o *domain.Organization) TestClock {
	if o.Clock.IsZero() {
		return TestClock{Object: "test_clock", Now: c.Now().UTC().Truncate(time.Millisecond)}
	}
	return TestClock{Object: "test_clock", Now: o.Clock.UTC(), StandsStill: true}
}

// setTestClock answers POST /v1/test-clock. What is due by then happens at once,
// but not before this answer.
func setTestClock(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	body, err := bind[TestClockRequest](c)
	if err != nil {
		return err
	}
	to := body.Now.UTC().Truncate(time.Millisecond)
	result, err := c.command(domain.OrganizationStream(c.who.organization), domain.SetTestClock{Now: to})
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, c.shownClock(result.State.(*domain.Organization)))
}
