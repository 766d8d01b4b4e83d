package sandbox

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

// SignatureHeader carries the signature of a webhook: t=<unix seconds>,v1=<hex>,
// where v1 is the HMAC-SHA256, under the webhook's secret, of the time as it is
// written there, a dot, and the body. Several v1 may stand there while a secret
// is being changed.
const SignatureHeader = "Sandbox-Signature"

// SignatureTolerance is how far the time of a signature may be from now.
const SignatureTolerance = 5 * time.Minute

// Sign returns the value of SignatureHeader for a body.
func Sign(body []byte, secret string, at time.Time) string {
	return fmt.Sprintf("t=%d,v1=%s", at.Unix(), hex.EncodeToString(signature(strconv.FormatInt(at.Unix(), 10), body, secret)))
}

func signature(at string, body []byte, secret string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(at + "."))
	h.Write(body)
	return h.Sum(nil)
}

// webhook is the body: an id, whom it is about, and just one of the rest.
//
//	{"id":"evt_1","token":"tok_visa_updates","replacement":{}}
//	{"id":"evt_2","token":"sepa_de","mandate":{"reference":"M-1","scheme":"sepa","status":"inactive"}}
type webhook struct {
	ID          string                   `json:"id"`
	Token       string                   `json:"token"`
	Reference   string                   `json:"reference"`
	Replacement *domain.Replacement      `json:"replacement"` // {} is the news that the sandbox has for the token
	Mandate     *domain.Mandate          `json:"mandate"`
	Facts       *instrument              `json:"facts"` // {} is what the token stands for
	Detached    bool                     `json:"detached"`
	Verified    domain.Evidence          `json:"verified"`
	Unverified  domain.VerificationCause `json:"unverified"`
	Setup       *setup                   `json:"setup"`
	SetupFailed *domain.SetupError       `json:"setup_failed"`
}

type instrument struct {
	domain.Facts
	Holder string `json:"holder"`
	Email  string `json:"email"`
}

// setup without a next action is ready, with what the token stands for.
type setup struct {
	NextAction *domain.NextAction `json:"next_action"`
}

// Notices reads a webhook that somebody wrote to try the ledger out. Every kind
// of notice can be written down; a body that is not understood is Unsupported.
func (g *Gateway) Notices(header map[string][]string, body []byte, secret string) ([]gateway.Notice, error) {
	if err := g.checkSignature(http.Header(header).Get(SignatureHeader), body, secret); err != nil {
		return nil, err
	}
	if domain.ContainsPAN(string(body)) {
		return nil, &gateway.Error{Kind: gateway.Unsupported, Message: "the webhook carries a card number"}
	}
	var w webhook
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&w); err != nil || strict.More() {
		return nil, unreadable("it is not the JSON of one sandbox webhook")
	}
	if said := w.said(); said != 1 {
		return nil, unreadable("it must say one thing, and says " + strconv.Itoa(said))
	}
	if w.ID == "" || w.Token == "" && w.Reference == "" {
		return nil, unreadable("it needs an id, and a token or a reference")
	}
	n, err := g.notice(w)
	if err != nil {
		return nil, err
	}
	return []gateway.Notice{n}, nil
}

// said counts the things that a webhook says.
func (w webhook) said() int {
	n := 0
	for _, there := range []bool{
		w.Replacement != nil, w.Mandate != nil, w.Facts != nil, w.Detached, w.Verified != "", w.Unverified != "",
		w.Setup != nil, w.SetupFailed != nil,
	} {
		if there {
			n++
		}
	}
	return n
}

// notice completes what the webhook left to the token.
func (g *Gateway) notice(w webhook) (gateway.Notice, error) {
	n := gateway.Notice{
		ID: w.ID, Token: w.Token, Reference: w.Reference, Replacement: w.Replacement, Mandate: w.Mandate,
		Detached: w.Detached, Verified: w.Verified, Unverified: w.Unverified, SetupFailed: w.SetupFailed,
	}
	if w.Facts != nil && w.Facts.Type != "" {
		n.Facts = &gateway.Instrument{Facts: w.Facts.Facts, Holder: w.Facts.Holder, Email: w.Facts.Email}
		return n, nil
	}
	if w.Setup != nil && w.Setup.NextAction != nil {
		n.Setup = &gateway.SetupAnswer{NextAction: w.Setup.NextAction, Reference: w.Reference}
		return n, nil
	}
	news := w.Replacement != nil && w.Replacement.Card.Last4 == ""
	if !news && w.Facts == nil && w.Setup == nil {
		return n, nil
	}
	t, err := g.read(w.Token)
	if err != nil {
		return gateway.Notice{}, unreadable("its token is not one of the sandbox")
	}
	behind := t.instrument()
	switch {
	case w.Facts != nil:
		n.Facts = &behind
	case w.Setup != nil:
		behind.NeedsApproval = false
		n.Setup = &gateway.SetupAnswer{Instrument: behind, Reference: w.Reference}
	case behind.Card == nil:
		return gateway.Notice{}, unreadable("only cards are replaced")
	default:
		n.Replacement = newsOf(behind)
	}
	return n, nil
}

// checkSignature accepts any of the header's signatures.
func (g *Gateway) checkSignature(header string, body []byte, secret string) error {
	wrong := &gateway.Error{Kind: gateway.Declined, Message: "the webhook's signature is wrong or too old"}
	var at string
	var signatures [][]byte
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			at = value
		case "v1":
			if sig, err := hex.DecodeString(value); err == nil {
				signatures = append(signatures, sig)
			}
		}
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || secret == "" || g.now().Sub(time.Unix(seconds, 0)).Abs() > SignatureTolerance {
		return wrong
	}
	for _, sig := range signatures {
		if hmac.Equal(sig, signature(at, body, secret)) {
			return nil
		}
	}
	return wrong
}

func unreadable(why string) error {
	return &gateway.Error{Kind: gateway.Unsupported, Message: "the webhook cannot be read: " + why}
}
