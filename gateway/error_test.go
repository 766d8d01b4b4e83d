package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

func TestEachKindOfErrorBecomesItsRefusal(t *testing.T) {
	for _, row := range []struct {
		err   error
		code  domain.Code
		place string
	}{
		{&gateway.Error{Kind: gateway.Declined, Message: "no"}, domain.CodeGatewayDeclined, ""},
		{&gateway.Error{Kind: gateway.Unavailable, Message: "away"}, domain.CodeGatewayUnavailable, ""},
		{&gateway.Error{Kind: gateway.UnknownOutcome, Message: "lost"}, domain.CodeGatewayUnavailable, ""},
		{&gateway.Error{Kind: gateway.Unsupported, Message: "cannot"}, domain.CodeValidationFailed, "token"},
		{&gateway.Error{Kind: gateway.UnknownToken, Message: "none"}, domain.CodeValidationFailed, "token"},
		{fmt.Errorf("wrapped: %w", &gateway.Error{Kind: gateway.Declined, Message: "no"}), domain.CodeGatewayDeclined, ""},
		{errors.New("no kind at all"), domain.CodeGatewayUnavailable, ""},
		{context.DeadlineExceeded, domain.CodeGatewayUnavailable, ""},
		{domain.Refuse(domain.CodeMethodDetached, "gone"), domain.CodeMethodDetached, ""},
	} {
		var refusal *domain.Error
		if !errors.As(gateway.Refusal(row.err), &refusal) || refusal.Code != row.code {
			t.Errorf("%v: refusal %v, want code %s", row.err, refusal, row.code)
			continue
		}
		place := ""
		if len(refusal.Faults) == 1 {
			place = refusal.Faults[0].Location
		}
		if place != row.place {
			t.Errorf("%v: the fault is at %q, want %q", row.err, place, row.place)
		}
	}
	if err := gateway.Refusal(nil); err != nil {
		t.Errorf("no error became the refusal %v", err)
	}
}

func TestTheCauseOfAnErrorStaysBehindInItsRefusal(t *testing.T) {
	cause := errors.New("dial 10.1.2.3: secret host")
	for _, kind := range []gateway.Kind{gateway.Declined, gateway.Unavailable, gateway.UnknownOutcome, gateway.Unsupported, gateway.UnknownToken} {
		err := &gateway.Error{Kind: kind, Message: "sorry", Err: cause}
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), "secret host") {
			t.Errorf("%s: the cause is lost to the log: %v", kind, err)
		}
		if strings.Contains(gateway.Refusal(err).Error(), "secret") {
			t.Errorf("%s: the cause is shown to the client: %v", kind, gateway.Refusal(err))
		}
	}
}

func TestAnErrorWithoutAKindPromisesNothing(t *testing.T) {
	for _, err := range []error{errors.New("anything"), context.Canceled, &gateway.Error{Message: "no kind"}} {
		if kind := gateway.KindOf(err); kind != gateway.UnknownOutcome {
			t.Errorf("%v: kind %s, want %s", err, kind, gateway.UnknownOutcome)
		}
	}
}
