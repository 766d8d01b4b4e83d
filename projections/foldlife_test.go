package projections_test

import (
	"fmt"
	"reflect"
	"slices"

	"pgregory.net/rapid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/projections"
)

func sameIntents(rt *rapid.T, v *projections.Views, w *world, states map[string]domain.State) {
	for _, i := range w.intents {
		var want *domain.SetupIntent
		if c, ok := states[i.stream()].(*domain.Customer); ok {
			want = c.SetupIntents[i.id]
		}
		row, found, err := v.SetupIntent(i.organization, i.id)
		switch {
		case err != nil || found != (want != nil):
			rt.Fatalf("setup intent %s: %v %v", i.id, found, err)
		case found && want.Reference != "":
			if byReference, found, err := v.SetupIntentByReference(i.organization, want.Provider, want.Reference); err != nil || !found ||
				byReference.Intent.Reference != want.Reference || byReference.Intent.CreatedAt.Before(want.CreatedAt) {
				rt.Fatalf("setup intent %s by reference: %v %v", i.id, found, err)
			}
		}
		if found && !reflect.DeepEqual(row.Intent, want) {
			rt.Fatalf("setup intent %s:\n got %+v\nwant %+v", i.id, row.Intent, want)
		}
	}
}

func sameOrganizations(rt *rapid.T, v *projections.Views, states map[string]domain.State) {
	for _, s := range states {
		o, ok := s.(*domain.Organization)
		if !ok {
			continue
		}
		row, found := v.Organization(o.ID)
		if !found || row.Mode != o.Mode || !row.Clock.Equal(o.Clock) || !reflect.DeepEqual(row.Settings, o.Settings) {
			rt.Fatalf("organization %s: %v %+v", o.ID, found, row)
		}
	}
}

// sameWork: what is on the list is what the states call for.
func sameWork(rt *rapid.T, v *projections.Views, states map[string]domain.State) {
	var want []string
	for stream, s := range states {
		c, ok := s.(*domain.Customer)
		if !ok {
			continue
		}
		for id, m := range c.Methods {
			if m.Status == domain.StatusPending && m.SetupIntent == "" {
				want = append(want, fmt.Sprint("sync ", stream, " ", id))
			}
			if v := m.Verification; m.Attached() && v.Status == domain.VerificationPending && v.Kind == "" {
				want = append(want, fmt.Sprint("verify ", stream, " ", id))
			}
			if !m.Attached() && m.GatewayDetach == "" {
				want = append(want, fmt.Sprint("detach ", stream, " ", id))
			}
			for range m.LeftOpen {
				want = append(want, fmt.Sprint("cancel verification ", stream, " ", id))
			}
		}
		for id, s := range c.SetupIntents {
			if s.Status == domain.SetupProcessing {
				want = append(want, fmt.Sprint("setup ", stream, " ", id))
			}
			for range s.LeftOpen {
				want = append(want, fmt.Sprint("cancel setup ", stream, " ", id))
			}
		}
	}
	got := projections.ListedWork(v)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		rt.Fatalf("the list of work:\n got %v\nwant %v", got, want)
	}
}
