package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
)

// Codes of refusals that are about HTTP, not about a rule of the ledger.
const (
	codeBodyMalformed        domain.Code = "body.malformed"
	codeBodyTooLarge         domain.Code = "body.too_large"
	codeNotFound             domain.Code = "not_found"
	codeMethodNotAllowed     domain.Code = "method_not_allowed"
	codeMediaTypeUnsupported domain.Code = "media_type.unsupported"
	codeHeadersTooLarge      domain.Code = "headers.too_large"
	codeCursorInvalid        domain.Code = "cursor.invalid"
	codePositionNotReached   domain.Code = "position.not_reached"
	codeUnauthorized         domain.Code = "unauthorized"
	codeRateLimited          domain.Code = "rate_limited"
)

// outcome is what a code is over HTTP.
type outcome struct {
	status int
	title  string
	retry  string // Retry-After in seconds, "" for none
}

// outcomes is the one map from codes to answers. Codes are API: one that is here
// stays, with its status.
var outcomes = map[domain.Code]outcome{
	codeBodyMalformed:                 {http.StatusBadRequest, "The request cannot be read", ""},
	codeUnauthorized:                  {http.StatusUnauthorized, "A valid API key is needed", ""},
	domain.CodeGatewayDeclined:        {http.StatusPaymentRequired, "The payment provider declined", ""},
	domain.CodeForbidden:              {http.StatusForbidden, "The API key does not allow this", ""},
	codeNotFound:                      {http.StatusNotFound, "There is nothing here", ""},
	domain.CodeMethodNotFound:         {http.StatusNotFound, "There is no such payment method", ""},
	domain.CodeEventNotFound:          {http.StatusNotFound, "There is no such event", ""},
	domain.CodeKeyNotFound:            {http.StatusNotFound, "There is no such API key", ""},
	domain.CodeSubscriptionNotFound:   {http.StatusNotFound, "There is no such subscription", ""},
	domain.CodeSetupIntentNotFound:    {http.StatusNotFound, "There is no such setup intent", ""},
	codeMethodNotAllowed:              {http.StatusMethodNotAllowed, "This method is not allowed here", ""},
	domain.CodeMethodInUse:            {http.StatusConflict, "The payment method is in use", ""},
	domain.CodeMethodDetached:         {http.StatusConflict, "The payment method is detached", ""},
	domain.CodeMethodDuplicate:        {http.StatusConflict, "The customer has this payment method already", ""},
	domain.CodeMethodNotActive:        {http.StatusConflict, "The payment method is not active", ""},
	domain.CodeTooManyMethods:         {http.StatusConflict, "The customer has too many payment methods", ""},
	domain.CodeSetupIntentState:       {http.StatusConflict, "The setup intent is in another state", ""},
	domain.CodeSubscriptionMismatch:   {http.StatusConflict, "The subscription is another customer's", ""},
	domain.CodeVerificationMismatch:   {http.StatusConflict, "This is not what arrived", ""},
	domain.CodeVerificationExpired:    {http.StatusConflict, "The time to verify is over", ""},
	domain.CodeVerificationExhausted:  {http.StatusConflict, "No attempts are left", ""},
	domain.CodeVerificationNotPending: {http.StatusConflict, "No micro-deposits are awaited", ""},
	domain.CodeConflict:               {http.StatusConflict, "Others are changing the same thing", ""},
	domain.CodePreconditionFailed:     {http.StatusPreconditionFailed, "The version is another one", ""},
	codeBodyTooLarge:                  {http.StatusRequestEntityTooLarge, "The body is too large", ""},
	codeMediaTypeUnsupported:          {http.StatusUnsupportedMediaType, "The body must be JSON", ""},
	domain.CodeValidationFailed:       {http.StatusUnprocessableEntity, "The request is not valid", ""},
	domain.CodePANDetected:            {http.StatusUnprocessableEntity, "The request holds a card number", ""},
	domain.CodeKeyReused:              {http.StatusUnprocessableEntity, "The idempotency key was used before", ""},
	domain.CodeRawCardDataDisabled:    {http.StatusUnprocessableEntity, "Card numbers are switched off", ""},
	codeCursorInvalid:                 {http.StatusUnprocessableEntity, "The cursor is not valid here", ""},
	codeRateLimited:                   {http.StatusTooManyRequests, "Too many requests", "1"},
	codeHeadersTooLarge:               {http.StatusRequestHeaderFieldsTooLarge, "The headers are too large", ""},
	domain.CodeInternal:               {http.StatusInternalServerError, "Something went wrong here", ""},
	domain.CodeGatewayUnavailable:     {http.StatusBadGateway, "The payment provider cannot be reached", "2"},
	codePositionNotReached:            {http.StatusServiceUnavailable, "The read model is not there yet", "1"},
	domain.CodeStoreUnavailable:       {http.StatusServiceUnavailable, "The event store cannot be reached", "1"},
	domain.CodeStorageFull:            {http.StatusInsufficientStorage, "There is no room for another event", "10"},
}

// problemType is the URI of a code.
func problemType(code domain.Code) string { return "urn:pmledger:problem:" + string(code) }

// requestURN is the URI of one occurrence. It is made of the request id alone: a
// path may hold what must not be repeated.
func requestURN(id string) string { return "urn:pmledger:request:" + id }

// Problem is an error answer (RFC 9457, application/problem+json). It never holds
// a value that the caller sent.
type Problem struct {
	Type      string      `json:"type" doc:"URI of the kind of problem" example:"urn:pmledger:problem:validation.failed"`
	Title     string      `json:"title" doc:"The kind of problem, in words" example:"The request is not valid"`
	Status    int         `json:"status" doc:"The HTTP status" example:"422"`
	Detail    string      `json:"detail" doc:"What happened here" example:"the request is not valid"`
	Instance  string      `json:"instance" doc:"URI of this occurrence" example:"urn:pmledger:request:req_01"`
	Code      domain.Code `json:"code" doc:"Stable name of the kind of problem" example:"validation.failed"`
	Errors    []FaultItem `json:"errors" nullable:"false" doc:"Every fault of the request; empty for problems that are not about its content"`
	InUseBy   []string    `json:"in_use_by,omitempty" nullable:"false" doc:"The subscriptions that use the payment method; only with payment_method.in_use"`
	Existing  string      `json:"payment_method_id,omitempty" doc:"The existing payment method; only with payment_method.duplicate"`
	RequestID string      `json:"request_id" doc:"The request's id, as in X-Request-Id" example:"req_01"`
}

// FaultItem is one thing wrong with a request.
type FaultItem struct {
	Location string      `json:"location" doc:"Where: body.card.exp_month, query.limit, header.Actor, path.customer_id" example:"body.token"`
	Message  string      `json:"message" doc:"What is wrong there" example:"is required"`
	Code     domain.Code `json:"code" doc:"validation.failed or pan_detected" example:"validation.failed"`
}

// newProblem makes the answer to an error. Everything that is not a refusal
// becomes "internal", without a detail.
func newProblem(err error, requestID string) (Problem, outcome) {
	var refusal *domain.Error
	if !errors.As(err, &refusal) {
		refusal = domain.Refuse(domain.CodeInternal, "the request failed; the log has the cause under its request id")
	}
	o, ok := outcomes[refusal.Code]
	if !ok {
		o = outcomes[domain.CodeInternal]
	}
	p := Problem{
		Type: problemType(refusal.Code), Title: o.title, Status: o.status, Detail: refusal.Message,
		Instance: requestURN(requestID), Code: refusal.Code, Errors: make([]FaultItem, 0, len(refusal.Faults)),
		InUseBy: refusal.InUseBy, Existing: string(refusal.Method), RequestID: requestID,
	}
	for _, f := range refusal.Faults {
		p.Errors = append(p.Errors, FaultItem(f))
	}
	return p, o
}

// json writes the problem. It cannot fail: every part is a string or a number.
func (p Problem) json() []byte {
	text, _ := json.Marshal(p)
	return append(text, '\n')
}

// Unread is the answer to what could not be read as a request and reached no handler,
// as it goes over the wire: for status 431 that its headers are too large, else that it
// is not HTTP. The connection is closed after it.
func Unread(status int) []byte {
	refusal := domain.Refuse(codeBodyMalformed, "the path, the Host or the headers are not HTTP/1.1")
	if status == http.StatusRequestHeaderFieldsTooLarge {
		refusal = domain.Refuse(codeHeadersTooLarge, "the request line and the headers may have %d bytes", maxHeaders)
	}
	id := requestIDOf(uuid.New())
	problem, _ := newProblem(refusal, id)
	body := problem.json()
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nX-Request-Id: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		problem.Status, http.StatusText(problem.Status), headerProblem[0], id, len(body), body)
}
