package projections

import (
	"encoding/binary"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pmledger/pmledger/domain"
)

// indexMethod moves a method's entries in the lists from where they were to where
// they belong. before is nil for a method that was just attached.
func indexMethod(batch *pebble.Batch, before, next *domain.Method) error {
	k, err := keyOf(next.ID)
	if err != nil {
		return err
	}
	at := placeOf(next.CreatedAt, k)
	w := indexWriter{batch: batch, at: at}
	if before == nil {
		w.set(prefix(tableOfOrganization, next.Organization))
		if next.Customer != "" {
			w.set(prefix(tableOfCustomer, next.Organization, next.Customer))
		}
		before = &domain.Method{}
	}
	organization := next.Organization
	w.move(before.Fingerprint, next.Fingerprint, func(s string) []byte { return prefix(tableOfFingerprint, organization, s) })
	w.move(before.ExternalID, next.ExternalID, func(s string) []byte { return prefix(tableOfExternalID, organization, s) })
	if before.Provider != next.Provider || before.ProviderID != next.ProviderID {
		if before.ProviderID != "" {
			w.delete(prefix(tableOfToken, organization, before.Provider, before.ProviderID))
		}
		if next.ProviderID != "" {
			w.set(prefix(tableOfToken, organization, next.Provider, next.ProviderID))
		}
	}
	if from, to := dueAt(before), dueAt(next); !from.Equal(to) {
		if !from.IsZero() {
			w.delete(expiryPrefix(organization, from))
		}
		if !to.IsZero() {
			w.set(expiryPrefix(organization, to))
		}
	}
	return w.err
}

// dueAt is when the method stands in the list of expiries: a detached one never does.
func dueAt(m *domain.Method) time.Time {
	if !m.Attached() {
		return time.Time{}
	}
	return m.ExpiresAt
}

func expiryPrefix(organization string, at time.Time) []byte {
	return binary.BigEndian.AppendUint64(prefix(tableOfExpiry, organization), ordered(at))
}

// indexWriter writes entries of one method; the first error stays.
type indexWriter struct {
	batch *pebble.Batch
	at    place
	err   error
}

func (w *indexWriter) set(prefix []byte) {
	if w.err == nil {
		w.err = w.batch.Set(append(prefix, w.at[:]...), nil, nil)
	}
}

func (w *indexWriter) delete(prefix []byte) {
	if w.err == nil {
		w.err = w.batch.Delete(append(prefix, w.at[:]...), nil)
	}
}

func (w *indexWriter) move(from, to string, key func(string) []byte) {
	if from == to {
		return
	}
	if from != "" {
		w.delete(key(from))
	}
	if to != "" {
		w.set(key(to))
	}
}
