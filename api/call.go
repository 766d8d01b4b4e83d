package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/planted"
)

// call is one request on its way through a handler.
type call struct {
	*Server
	*route
	faults
	request *http.Request
	answer  *echo.Response
	params  []string // values of the path parameters, decoded
	query   url.Values
	id      string // request id
	began   time.Time
	who     principal
	text    []byte // of the body; nil when there is none
	body    value  // the same, parsed
	key     string // Idempotency-Key
	actor   string
	reason  string
	trace   string
	seen    eventstore.Position // what the answer reflects
	gone    bool                // the client left before the answer

	commandID string               // of the command that execute runs
	home      *domain.Organization // of the caller, once it is read
}

// Header values that every answer shares. net/http only reads them.
var (
	headerNoSniff = []string{"nosniff"}
	headerNoStore = []string{"no-store"}
	headerPrivate = []string{"private, no-cache"}
	headerJSON    = []string{"application/json"}
	headerProblem = []string{"application/problem+json"}
	headerTrue    = []string{"true"}
	headerClose   = []string{"close"}
)

// run takes a request through its route, or straight to an error when the router
// refused it. It always writes one answer.
func (s *Server) run(ec echo.Context, r *route, refused error) {
	c := &call{Server: s, route: r, request: ec.Request(), answer: ec.Response(), began: time.Now()}
	if !r.isRead() { // a read waits for WaitTimeout at most, and then for a write that ends in time
		ctx, cancel := context.WithTimeout(c.request.Context(), s.AnswerTimeout)
		defer cancel()
		c.request = c.request.WithContext(ctx)
	}
	c.id = c.requestID()
	h := c.answer.Header()
	h["X-Request-Id"] = []string{c.id}
	h["X-Content-Type-Options"] = headerNoSniff
	h["Cache-Control"] = headerNoStore
	if c.canBeMisread() && !planted.ConnectionIsKept.Here() {
		h["Connection"] = headerClose
	}
	defer c.finish()
	defer c.recover()
	err := refused
	if headerSize(c.request) > maxHeaders {
		err = domain.Refuse(codeHeadersTooLarge, "the request line and the headers may have %d bytes", maxHeaders)
	}
	if err == nil {
		err = c.serve(ec)
	}
	if err != nil {
		c.fail(err)
	}
}

// canBeMisread tells whether whoever passed the request on may see another end of
// it than we do, so that what follows on the connection may be part of it: one in
// chunks may have had a Content-Length too, which net/http drops, and for HTTP/1.0
// it drops the chunks.
func (c *call) canBeMisread() bool {
	return len(c.request.TransferEncoding) > 0 || !c.request.ProtoAtLeast(1, 1)
}

// serve checks the request in the order in which a client can mend it: who asks,
// how often, what for, and then everything it says, all at once.
func (c *call) serve(ec echo.Context) error {
	if c.clientSide && c.allowPages() {
		return nil
	}
	if c.scope == scopePublic {
		c.readPath(ec)
		if len(c.parameters) > 0 {
			c.readQuery()
		}
		return c.handle(c)
	}
	if err := c.authenticate(); err != nil {
		return err
	}
	if err := c.limit(); err != nil {
		return err
	}
	if !c.who.has(c.scope) && !(planted.ReadUnscoped.Here() && c.method == http.MethodGet) {
		return lacksScope(c.scope)
	}
	c.readPath(ec)
	c.readQuery()
	c.readHeaders()
	if c.who.intent != "" && c.who.intent != domain.SetupIntentID(c.params[0]) {
		return setupIntentNotFound()
	}
	if c.ownBody {
		return c.handle(c)
	}
	if err := c.readBody(); err != nil {
		return err
	}
	return c.handle(c)
}

func lacksScope(scope string) error {
	return domain.Refuse(domain.CodeForbidden, "the API key lacks the scope %s", scope)
}

// requestID takes over the caller's id when it is a plain token, and makes one
// otherwise.
func (c *call) requestID() string {
	id := c.request.Header.Get("X-Request-Id")
	if id == "" || len(id) > 128 || !consistsOf(id, requestIDCharacters) || domain.ContainsPANInNumberField(id) {
		return requestIDOf(c.NewID())
	}
	return id
}

// requestIDOf is the id of a request that brought none.
func requestIDOf(made uuid.UUID) string {
	return string(hex.AppendEncode(append(make([]byte, 0, 36), "req_"...), made[:]))
}

const requestIDCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-"

// readPath takes the path parameters, percent-decoded once, and screens them.
func (c *call) readPath(ec echo.Context) {
	names := ec.ParamNames()
	if len(names) == 0 {
		return
	}
	c.params = ec.ParamValues()[:len(names)]
	for i, name := range names {
		if c.request.URL.RawPath != "" {
			// The router saw the path as it was sent; otherwise net/url has decoded it.
			if decoded, err := url.PathUnescape(c.params[i]); err == nil {
				c.params[i] = decoded
			}
		}
		c.screen("path."+name, c.params[i])
		if name == "customer_id" && !domain.ValidCustomer(c.params[i]) {
			c.add("path.customer_id", "must be 1 to 128 characters of A-Z a-z 0-9 _ . : @ -")
		}
	}
}

// recover turns a panic into an answer. The log gets the stack and the type, not
// the value: it may hold what the caller sent.
func (c *call) recover() {
	cause := recover()
	if cause == nil {
		return
	}
	c.Logger.Error("a handler panicked", "request_id", c.id, "route", c.path, "panic", fmt.Sprintf("%T", cause), "stack", string(debug.Stack()))
	if !c.answer.Committed {
		c.fail(errPanic)
	}
}

// fail answers with a problem.
func (c *call) fail(err error) {
	if over := c.request.Context().Err(); over != nil && errors.Is(err, over) {
		// A client that closed only its sending side still reads, and would take no answer for a success.
		c.gone = errors.Is(over, context.Canceled)
		err = domain.Refuse(domain.CodeStoreUnavailable, "the request ended before its answer was found; try again, a write with the same Idempotency-Key")
	}
	problem, outcome := newProblem(err, c.id)
	for i := range problem.Errors {
		problem.Errors[i].Location = c.located(problem.Errors[i].Location)
	}
	h := c.answer.Header()
	if problem.Code == domain.CodeInternal && !errors.Is(err, errPanic) {
		c.Logger.Error("a request failed", "request_id", c.id, "route", c.path, "error", err)
	}
	if outcome.retry != "" && h.Get("Retry-After") == "" {
		h.Set("Retry-After", outcome.retry)
	}
	if outcome.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="pmledger"`)
	}
	h["Cache-Control"] = headerNoStore
	delete(h, "Etag")
	c.write(outcome.status, headerProblem, problem.json())
}

var errPanic = errors.New("panic")

// statusGone stands in log and metrics for a client that left before the answer.
const statusGone = 499

// write sends the answer.
func (c *call) write(status int, contentType []string, body []byte) {
	h := c.answer.Header()
	h["Content-Type"] = contentType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.answer.WriteHeader(status)
	if c.request.Method != http.MethodHead {
		_, _ = c.answer.Write(body) // a client that left is no error of ours
	}
}

// json answers with a JSON body.
func (c *call) json(status int, body []byte) error {
	c.position()
	c.write(status, headerJSON, body)
	return nil
}

// reply answers with an object that is not prepared as bytes.
func (c *call) reply(status int, object any) error {
	body, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("write %T: %w", object, err)
	}
	return c.json(status, append(body, '\n'))
}

// position tells how far the log is reflected in the answer.
func (c *call) position() {
	if c.seen > 0 {
		c.answer.Header()["Ledger-Position"] = []string{c.seen.String()}
	}
}

// finish counts the request and writes its line of log, which holds nothing that the
// caller sent but its request id. What succeeded is only for who looks for it: it
// is counted, what it changed is in the ledger with its request id, and a line costs
// 8 µs of processor time, a get without it 20.
func (c *call) finish() {
	took, status := time.Since(c.began), c.answer.Status
	if c.gone {
		status = statusGone
	}
	c.observed.count(status, took)
	level := slog.LevelDebug
	switch {
	case c.polled:
	case status >= 500:
		level = slog.LevelWarn
	case status >= 400:
		level = slog.LevelInfo
	}
	ctx := c.request.Context()
	if !c.Logger.Enabled(ctx, level) {
		return
	}
	c.Logger.LogAttrs(ctx, level, "request",
		slog.String("method", c.route.label(c.request.Method)), slog.String("route", c.path), slog.Int("status", status),
		slog.Duration("took", took), slog.String("request_id", c.id), slog.String("organization", c.who.organization),
		slog.Int64("bytes", c.answer.Size))
}
