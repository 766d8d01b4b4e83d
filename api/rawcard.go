package api

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

// RawCardRequest is a card as its holder reads it. It is documented by this type
// and never held in one: the body stays in one buffer, which is wiped.
type RawCardRequest struct {
	Number         string         `json:"number" minLength:"13" maxLength:"19" pattern:"^[0-9]{13,19}$" doc:"Passed on to the gateway and kept nowhere"`
	ExpirationDate string         `json:"expiration_date" pattern:"^(0[1-9]|1[0-2])/[0-9]{2}$" doc:"MM/YY" example:"12/34"`
	SecurityCode   orNull[string] `json:"security_code,omitzero" minLength:"3" maxLength:"4" pattern:"^[0-9]{3,4}$" doc:"Passed on to the gateway and kept nowhere"`
	ExternalID     orNull[string] `json:"external_id,omitzero" minLength:"1" maxLength:"255" doc:"The caller's own name of it"`
	SetAsDefault   *bool          `json:"set_as_default,omitempty" doc:"Make it the customer's default in the same commit"`
	RedirectURL    orNull[string] `json:"redirect_url,omitzero" format:"uri" maxLength:"2048" doc:"Where the buyer returns to after an approval; https, without user and fragment, on an allowed host of the organization"`
}

// maxRawBody is the size of a body with a card number in bytes.
const maxRawBody = 4 << 10

// maxURL is the length that RawCardRequest names for redirect_url.
const maxURL = 2048

// attachRawCard answers POST /v1/customers/{customer_id}/payment-methods/raw-card.
// The body is read here and nowhere else, into one buffer that is wiped before
// the answer; of the number only the gateway sees anything.
func attachRawCard(c *call) error {
	if !c.RawCards {
		c.answer.Header().Set("Connection", "close") // what was sent is left unread
		return rawCardsDisabled()
	}
	var buffer [maxRawBody]byte
	defer clear(buffer[:])
	body, err := c.rawBody(buffer[:])
	if err != nil {
		return err
	}
	card, err := parseRawCard(body)
	if err != nil {
		return err
	}
	a := &attachment{call: c, customer: c.params[0], card: &card.RawCard}
	a.Type, a.SetAsDefault = domain.TypeCard, &card.setAsDefault
	a.ExternalID, a.RedirectURL = card.externalID, card.redirectURL
	card.check(&c.faults)
	c.body = card.identity(c.Secrets)
	err = c.attach(a)
	if domain.CodeOf(err) == domain.CodeValidationFailed && a.unsupported {
		return rawCardsDisabled()
	}
	return err
}

func rawCardsDisabled() error {
	return domain.Refuse(domain.CodeRawCardDataDisabled, "this server takes no card numbers: collect the card with a setup intent, and send the gateway's token")
}

// rawBody reads the body into the buffer.
func (c *call) rawBody(buffer []byte) ([]byte, error) {
	if c.request.Body == nil {
		return nil, domain.Refuse(codeBodyMalformed, "this call needs a JSON body")
	}
	n, err := io.ReadFull(c.request.Body, buffer)
	switch {
	case err == nil:
		c.answer.Header().Set("Connection", "close")
		return nil, domain.Refuse(codeBodyTooLarge, "a body may have %d bytes here", maxRawBody-1)
	case errors.Is(err, io.EOF):
		return nil, domain.Refuse(codeBodyMalformed, "this call needs a JSON body")
	case !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, domain.Refuse(codeBodyMalformed, "the body ended early")
	}
	return buffer[:n], c.mediaType(n)
}

// rawCard is a body with a card number. Number and security code are slices of
// the buffer that the body was read into.
type rawCard struct {
	gateway.RawCard
	expiration   []byte // MM/YY
	externalID   orNull[string]
	redirectURL  orNull[string]
	setAsDefault bool
	otherKind    bool // the body is not an object
	faults
}

// check adds what is wrong with the card to the faults of the request, without
// repeating any of it.
func (r *rawCard) check(to *faults) {
	if !r.otherKind {
		r.checkMembers()
	}
	to.list, to.pan = append(to.list, r.list...), to.pan || r.pan
}

func (r *rawCard) checkMembers() {
	e := r.expiration
	if len(e) == 5 && e[2] == '/' {
		month, monthErr := strconv.Atoi(string(e[:2]))
		year, yearErr := strconv.Atoi(string(e[3:]))
		if monthErr == nil && yearErr == nil && month >= 1 && month <= 12 && year >= 0 {
			r.ExpMonth, r.ExpYear = month, 2000+year
		}
	}
	if r.ExpYear == 0 {
		r.wrong("body.expiration_date", "must be MM/YY")
	}
	if text := r.externalID.Value; text != nil && (*text == "" || utf8.RuneCountInString(*text) > maxKey) {
		r.add("body.external_id", "must have 1 to 255 characters")
	}
	if text := r.redirectURL.Value; text != nil {
		if problem := wrongURL(*text); problem != "" {
			r.add("body.redirect_url", problem)
		} else if len(*text) > maxURL {
			r.add("body.redirect_url", "must have at most "+strconv.Itoa(maxURL)+" characters")
		}
	}
	if text := r.externalID.or(""); domain.ContainsPAN(text) {
		r.addPAN("body.external_id")
	}
	if text := r.redirectURL.or(""); domain.ContainsPAN(text) {
		r.addPAN("body.redirect_url")
	}
	number := r.RawCard
	if number.ExpYear == 0 {
		number.ExpMonth, number.ExpYear = 1, 2000 // its own fault is there already
	}
	number.SecurityCode = nil
	if number.Check() != nil {
		r.wrong("body.number", "must be a card number of 13 to 19 digits")
	}
	if code := r.SecurityCode; code != nil && (len(code) < 3 || len(code) > 4 || !digitsOnly(code)) {
		r.add("body.security_code", "must have 3 or 4 digits")
	}
}

// wrong says what a member must be, unless its reading has found a fault: what was
// not read looks empty.
func (r *rawCard) wrong(location, message string) {
	if !slices.ContainsFunc(r.list, func(f domain.Fault) bool { return f.Location == location }) {
		r.add(location, message)
	}
}

// identity is what makes a repeat the same request. The number is in it as a
// keyed hash; the security code is not in it at all, because what has few values
// is found from any hash by whoever has the key.
func (r *rawCard) identity(s Secrets) value {
	mac := newMAC(s.Cards)
	mac.bytes(r.Number)
	text := func(s orNull[string]) value {
		if s.Value == nil {
			return value{}
		}
		return value{kind: kindString, text: *s.Value}
	}
	return value{kind: kindObject,
		names: []string{"card", "expiration_date", "external_id", "redirect_url", "set_as_default"},
		items: []value{
			{kind: kindString, text: hex.EncodeToString(mac.Sum(nil))}, {kind: kindString, text: string(r.expiration)},
			text(r.externalID), text(r.redirectURL), {kind: kindBool, text: strconv.FormatBool(r.setAsDefault)},
		},
	}
}

// tokenize hands the card to the gateway and completes the command with what it
// says.
func (a *attachment) tokenize(ctx context.Context, cmd *domain.AttachMethod, request gateway.Request) error {
	token, i, err := a.gateway.Tokenize(ctx, request, *a.card)
	if err != nil {
		a.unsupported = gateway.KindOf(err) == gateway.Unsupported
		return a.call.gatewayRefusal(a.provider, err)
	}
	if domain.ContainsPANInNumberField(token) {
		return domain.Refuse(domain.CodeInternal, "the gateway's token is no token")
	}
	request.Token, cmd.ProviderID = token, token
	return a.use(ctx, cmd, request, i)
}
