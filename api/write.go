package api

import (
	"context"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/planted"
	"github.com/pmledger/pmledger/projections"
)

// execute runs one command on a stream, with what the request says about who asks
// and why. prepare makes the command; it is not called for a repeat.
func (c *call) execute(stream string, prepare func(ctx context.Context) (domain.Command, error)) (eventstore.Result, error) {
	now, err := c.testClock()
	if err != nil {
		return eventstore.Result{}, err
	}
	c.commandID = c.key
	req := eventstore.Request{
		Stream: stream, Actor: c.actor, Reason: c.reason, Correlation: c.id, Traceparent: c.trace, Now: now, Prepare: prepare,
	}
	if c.key != "" {
		req.RequestMAC = c.requestMAC()
	} else {
		c.commandID = c.NewID().String()
	}
	req.CommandID = c.commandID
	result, err := c.Ledger.Execute(c.request.Context(), req)
	if result.Position > 0 {
		c.seen = result.Position
		c.position()
	}
	if result.Replayed {
		c.answer.Header()["Idempotency-Replayed"] = headerTrue
	}
	return result, err
}

// command runs a command that is ready as it stands.
func (c *call) command(stream string, cmd domain.Command) (eventstore.Result, error) {
	return c.execute(stream, func(context.Context) (domain.Command, error) { return cmd, nil })
}

// requestMAC is the keyed hash of everything that makes this request what it is:
// a repeat has the same one, however its body is laid out. A bare hash would do
// for comparing, but not for a body that may hold what is easily guessed.
func (c *call) requestMAC() string {
	mac := newMAC(c.Secrets.RequestMAC)
	mac.text(c.who.organization)
	mac.text(c.method)
	mac.text(c.path)
	for _, p := range c.params {
		mac.text(p)
	}
	for _, name := range sortedKeys(c.query) {
		mac.text(name)
		mac.text(c.query.Get(name))
	}
	mac.bytes(appendCanonical(make([]byte, 0, 512), &c.body))
	return hex.EncodeToString(mac.Sum(nil))
}

// written answers a write with the payment method as it was right after it.
func (c *call) written(status int, result eventstore.Result, id domain.MethodID) error {
	m, err := methodIn(result, id)
	if err != nil {
		return err
	}
	c.answer.Header()["Etag"] = []string{etagOf(m.Version)}
	return c.json(status, projections.RenderMethod(m))
}

func methodIn(result eventstore.Result, id domain.MethodID) (*domain.Method, error) {
	m, ok := result.State.(*domain.Customer).Methods[id]
	if !ok {
		return nil, methodNotFound()
	}
	return m, nil
}

// ifMatch reads If-Match: a list of ETags, or * for any version. ETags that are
// none of ours, weak ones among them, match nothing.
func (c *call) ifMatch() domain.Versions {
	lists := c.request.Header["If-Match"]
	if len(lists) == 0 || planted.IgnoredIfMatch.Here() {
		return nil
	}
	versions := domain.Versions{}
	for _, list := range lists {
		for tag := range strings.SplitSeq(list, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" {
				return nil
			}
			digits, ok := strings.CutPrefix(tag, `"`)
			digits, closed := strings.CutSuffix(digits, `"`)
			if version, err := strconv.ParseUint(digits, 10, 64); ok && closed && err == nil {
				versions = append(versions, version)
			}
		}
	}
	if len(versions) == 0 {
		return domain.Versions{noVersion}
	}
	return versions
}

// noVersion is one that no stream reaches.
const noVersion = 1<<64 - 1

// setDefault answers POST /v1/payment-methods/{id}/default.
func setDefault(c *call) error {
	versions := c.ifMatch()
	if err := c.checked(); err != nil {
		return err
	}
	id := domain.MethodID(c.params[0])
	row, err := c.methodRow(id)
	if err != nil {
		return err
	}
	result, err := c.command(row.Stream, domain.SetDefault{MethodID: id, IfVersion: versions})
	if err != nil {
		return err
	}
	return c.written(http.StatusOK, result, id)
}

// detachMethod answers DELETE /v1/payment-methods/{id}.
func detachMethod(c *call) error {
	versions := c.ifMatch()
	promote := c.queryMethod("promote")
	if err := c.checked(); err != nil {
		return err
	}
	id := domain.MethodID(c.params[0])
	row, err := c.methodRow(id)
	if err != nil {
		return err
	}
	if planted.DetachLater.Here() && c.prefersMinimal() {
		go c.command(row.Stream, domain.DetachMethod{MethodID: id})
		c.answer.WriteHeader(http.StatusNoContent)
		return nil
	}
	result, err := c.command(row.Stream, domain.DetachMethod{MethodID: id, IfVersion: versions, Promote: promote})
	if err != nil {
		return err
	}
	if !c.prefersMinimal() {
		return c.written(http.StatusOK, result, id)
	}
	h := c.answer.Header()
	h.Set("Preference-Applied", "return=minimal")
	c.answer.WriteHeader(http.StatusNoContent)
	return nil
}

// prefersMinimal reads Prefer: return=minimal (RFC 7240).
func (c *call) prefersMinimal() bool {
	for _, list := range c.request.Header["Prefer"] {
		for preference := range strings.SplitSeq(list, ",") {
			preference, _, _ = strings.Cut(preference, ";")
			name, value, _ := strings.Cut(preference, "=")
			if strings.EqualFold(strings.TrimSpace(name), "return") && strings.EqualFold(strings.Trim(strings.TrimSpace(value), `"`), "minimal") {
				return true
			}
		}
	}
	return false
}
