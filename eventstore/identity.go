package eventstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
)

// Identity says which log this is, and which secret belongs to it.
type Identity struct {
	LedgerID          string
	SecretFingerprint string
}

// Identify reads the log's identity record, or writes it when the log is empty of
// one. It refuses when the log was made with another secret: every keyed hash in
// it (API keys, request MACs) would fail to match from then on.
func Identify(ctx context.Context, store Store, fingerprint string, newID uuid.UUID, now time.Time) (Identity, error) {
	created := domain.LedgerCreated{LedgerID: newID.String(), SecretFingerprint: fingerprint}
	for range MaxConflicts {
		identity, found, err := readIdentity(ctx, store)
		if err != nil {
			return Identity{}, err
		}
		if found {
			return identity, identity.MadeWith(fingerprint)
		}
		_, err = appendIdentity(ctx, store, created, now)
		if conflict := (*ConflictError)(nil); err != nil && !errors.As(err, &conflict) && !errors.Is(err, ErrUnknownOutcome) {
			return Identity{}, err
		}
	}
	return Identity{}, errors.New("the log's identity record could neither be read nor written")
}

// MadeWith refuses the log when it was made with another secret than the one with
// this fingerprint.
func (i Identity) MadeWith(fingerprint string) error {
	if i.SecretFingerprint != fingerprint {
		return fmt.Errorf("the log %s was made with another secret: give the secret file it was made with", i.LedgerID)
	}
	return nil
}

// ReadIdentity reads the log's identity record. It is an error for it not to be there.
func ReadIdentity(ctx context.Context, store Store) (Identity, error) {
	identity, found, err := readIdentity(ctx, store)
	if err == nil && !found {
		err = errors.New("the log has no identity record")
	}
	return identity, err
}

func readIdentity(ctx context.Context, store Store) (Identity, bool, error) {
	for r, err := range store.Stream(ctx, domain.LedgerStream, 1) {
		if err != nil {
			return Identity{}, false, err
		}
		e, _, err := DecodeRecord(r)
		created, ok := e.(domain.LedgerCreated)
		if err != nil || !ok {
			return Identity{}, false, &BrokenStreamError{Stream: r.Stream, Version: r.Version, Position: r.Position, Cause: err}
		}
		return Identity(created), true, nil
	}
	return Identity{}, false, nil
}

func appendIdentity(ctx context.Context, store Store, e domain.LedgerCreated, now time.Time) (Position, error) {
	name, data, err := domain.Encode(e)
	if err != nil {
		return 0, err
	}
	metadata := Metadata{
		Time: now.UTC().Truncate(time.Millisecond), Schema: domain.Schema, Prev: NoPrev, CommandID: e.LedgerID,
	}.Encode()
	record := NewRecord{ID: EventID(domain.LedgerStream, e.LedgerID, 0), Type: name, Data: data, Metadata: metadata}
	return store.Append(ctx, domain.LedgerStream, 0, []NewRecord{record})
}
