package projections

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
)

// PolicyFunc tells what an organization has chosen and what time it is there, for
// a command that is about to be decided.
type PolicyFunc func(ctx context.Context, organization string) (policy domain.Policy, now time.Time, err error)

// LedgerPolicy reads policies from the streams of organizations. The time is that
// of the organization's test clock, or now when it has none. maxMethods bounds
// the attached methods of a customer.
func LedgerPolicy(ledger *eventstore.Ledger, now func() time.Time, maxMethods int) PolicyFunc {
	zones := &sync.Map{} // name -> *time.Location: loading one reads a file
	return func(ctx context.Context, organization string) (domain.Policy, time.Time, error) {
		state, _, err := ledger.State(ctx, domain.OrganizationStream(organization))
		if err != nil {
			return domain.Policy{}, time.Time{}, err
		}
		o := state.(*domain.Organization)
		zone, ok := zones.Load(o.Settings.TimeZone)
		if !ok {
			location, err := time.LoadLocation(o.Settings.TimeZone)
			if err != nil {
				return domain.Policy{}, time.Time{}, fmt.Errorf("the time zone of organization %s: %w", organization, err)
			}
			zone, _ = zones.LoadOrStore(o.Settings.TimeZone, location)
		}
		at := o.Clock
		if at.IsZero() {
			at = now()
		}
		return domain.Policy{Settings: o.Settings, Location: zone.(*time.Location), MaxMethods: maxMethods}, at, nil
	}
}

// own marks what the ledger does by itself. Its command ids hold a character that
// no Idempotency-Key can, so that no caller can take one.
const own = "pmledger"

func ownCommandID(parts ...string) string {
	id := own
	for _, p := range parts {
		id += "·" + p
	}
	return id
}
