package kurrent

import (
	"context"
	"fmt"
	"iter"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"github.com/pmledger/pmledger/eventstore"
)

const (
	// pageRecords and pageBytes bound what Stream holds at once.
	pageRecords = 256
	pageBytes   = 4 << 20
)

// Stream implements eventstore.Store. The first page is read before it returns,
// and with it the stream's end, so that what is appended later is not in it.
//
// A stream that was deleted, truncated, or has a gap is an error: the ledger does
// none of these.
func (s *Store) Stream(ctx context.Context, stream string, from uint64) iter.Seq2[eventstore.Record, error] {
	from = max(from, 1)
	first, end, err := s.beginning(ctx, stream, from)
	return func(yield func(eventstore.Record, error) bool) {
		page, err := first, err
		for next := from; err == nil; {
			for _, r := range page {
				if err = ctx.Err(); err != nil {
					break
				}
				if !yield(r, nil) {
					return
				}
				next++
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil || next > end {
				break
			}
			page, _, err = s.page(ctx, stream, next, min(end-next+1, pageRecords))
			if err == nil && len(page) == 0 {
				err = fmt.Errorf("stream %s: version %d is gone, which was there a moment ago", stream, next)
			}
		}
		if err != nil {
			yield(eventstore.Record{}, err)
		}
	}
}

// beginning reads the first page of a stream and the version it ends with now.
func (s *Store) beginning(ctx context.Context, stream string, from uint64) ([]eventstore.Record, uint64, error) {
	if from > math.MaxInt64 {
		return nil, 0, ctx.Err()
	}
	page, whole, err := s.page(ctx, stream, from, pageRecords)
	end := from + uint64(len(page)) - 1
	if err != nil || whole {
		return page, end, err
	}
	version, err := s.version(ctx, stream)
	return page, max(version, end), err
}

// page reads records of a stream from a version on. whole tells that the stream
// ends with them.
func (s *Store) page(ctx context.Context, stream string, from, count uint64) (page []eventstore.Record, whole bool, err error) {
	err = s.read(ctx, func(a *attempt) error {
		page = nil
		size := 0
		n, err := readEvents(a.ctx, a.conn, fromRevision(stream, from-1, count), func(e *streams.ReadResp_ReadEvent) error {
			a.sign()
			r, err := recordOf(e)
			if err != nil {
				return err
			}
			if want := from + uint64(len(page)); r.Version != want || r.Stream != stream {
				return fmt.Errorf("stream %s: version %d of %s stands where version %d should", stream, r.Version, r.Stream, want)
			}
			page = append(page, r)
			if size += len(r.Data) + len(r.Metadata); size >= pageBytes {
				return errEnough
			}
			return nil
		})
		whole = uint64(n) < count && size < pageBytes
		return err
	})
	if isStreamDeleted(err) {
		err = fmt.Errorf("stream %s was deleted in the event store: %w", stream, err)
	}
	if err != nil {
		return nil, false, err
	}
	return page, whole, nil
}

// version is the number of records in a stream.
func (s *Store) version(ctx context.Context, stream string) (version uint64, err error) {
	err = s.read(ctx, func(a *attempt) error {
		version = 0
		_, err := readEvents(a.ctx, a.conn, endOfStream(stream), func(e *streams.ReadResp_ReadEvent) error {
			version = e.GetEvent().GetStreamRevision() + 1
			return errEnough
		})
		return err
	})
	return version, err
}
