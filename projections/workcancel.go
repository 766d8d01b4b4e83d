package projections

import (
	"context"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

// left files what a record leaves open at a gateway, and takes off what the
// gateway was told.
func (t *todo) left(batch *pebble.Batch, ch Change, kind workKind, k subjectKey, subject string, before, next []domain.LeftOpen) error {
	for _, l := range next {
		if slices.Contains(before, l) {
			continue
		}
		item := itemOf(kind, subject, l.Provider, ch)
		item.unanswered = l.Reference == ""
		if err := t.open(batch, openKey{kind, k, l.Since}, item); err != nil {
			return err
		}
	}
	for _, l := range before {
		if slices.Contains(next, l) {
			continue
		}
		if err := t.close(batch, openKey{kind, k, l.Since}); err != nil {
			return err
		}
	}
	return nil
}

func leftOpen(m *domain.Method) []domain.LeftOpen {
	if m == nil {
		return nil
	}
	return m.LeftOpen
}

// left is what an item is about, as long as it is open.
func (item work) left(c *domain.Customer) (domain.LeftOpen, bool) {
	var open []domain.LeftOpen
	if item.kind == workCancelVerification {
		open = leftOpen(c.Methods[domain.MethodID(item.subject)])
	} else if s := c.SetupIntents[domain.SetupIntentID(item.subject)]; s != nil {
		open = s.LeftOpen
	}
	i := slices.IndexFunc(open, func(l domain.LeftOpen) bool { return l.Since == item.version })
	if i < 0 {
		return domain.LeftOpen{}, false
	}
	return open[i], true
}

// cancel ends at the gateway what has ended here. What has succeeded there
// meanwhile stays so there, and ended here: nothing that was told is taken back.
func (w *Worker) cancel(ctx context.Context, left domain.LeftOpen, item work, req gateway.Request, last bool) (command, error) {
	req.Token = left.Token
	if left.Reference == "" {
		asked, err := w.itemAt(ctx, item.stream, left.Asked, item.kind, item.subject)
		if err != nil {
			return nil, err
		}
		req.IdempotencyKey = domain.EventID(asked.event)
	}
	record := domain.RecordGatewayCancel{Since: left.Since}
	if item.kind == workCancelVerification {
		record.MethodID = domain.MethodID(item.subject)
	} else {
		record.SetupIntentID = domain.SetupIntentID(item.subject)
	}
	g, ok := w.o.Gateways[left.Provider]
	if !ok {
		record.Failure = "no gateway of this provider is configured"
		return always(record), nil
	}
	err := g.Cancel(ctx, req, left.Reference)
	if err == nil || gateway.KindOf(err) == gateway.UnknownToken {
		return always(record), nil
	}
	refused, silent, again := answered(err, last)
	if again != nil {
		return nil, again
	}
	if record.Failure = refused.Message; silent {
		record.Failure = unreachable
	}
	return always(record), nil
}

// givenUp tells who operates the ledger that something stays open at a gateway.
// To the ledger's users it is not open, so they are told nothing.
func (w *Worker) givenUp(item work, events []domain.Event) {
	for _, e := range events {
		reason := ""
		switch e := e.(type) {
		case domain.GatewayCanceled:
			reason = e.Failure
		case domain.SetupGatewayCanceled:
			reason = e.Failure
		}
		if reason == "" {
			continue
		}
		w.uncanceled.Add(1)
		w.o.Logger.Error("a gateway could not be told that nobody goes on with something; it stays open there", "work", item.kind.String(),
			"provider", item.provider, "subject", item.subject, "event", domain.EventID(item.event), "reason", reason)
	}
}

// Uncanceled counts what this worker has left open at gateways since it was made,
// because they could not be told.
func (w *Worker) Uncanceled() int64 { return w.uncanceled.Load() }
