package api

import (
	"bytes"
	"crypto/hmac"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore/planted"
)

// cursorTag is the length of a cursor's signature in bytes.
const cursorTag = 16

// A cursor is base64url of a signature and the place where the page ended. The
// signature covers the organization, the call and its filters: a cursor leads
// on in the list it came from, and nowhere else.

// cursorText signs a place.
func (c *call) cursorText(place string) string {
	raw := append(c.cursorMAC(place), place...)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// cursorPlace reads ?cursor=; "" when there is none. It refuses with
// cursor.invalid what cursorText did not make for this very list.
func (c *call) cursorPlace() (string, error) {
	text := c.query.Get("cursor")
	if text == "" && !c.query.Has("cursor") {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) <= cursorTag {
		return "", cursorInvalid()
	}
	place := string(raw[cursorTag:])
	if !hmac.Equal(raw[:cursorTag], c.cursorMAC(place)) {
		return "", cursorInvalid()
	}
	return place, nil
}

func cursorInvalid() error {
	return domain.Refuse(codeCursorInvalid, "the cursor was not made for this list with these filters; start without one")
}

func (c *call) cursorMAC(place string) []byte {
	mac := newMAC(c.Secrets.Cursors)
	if !planted.AnyonesCursor.Here() {
		mac.text(c.who.organization)
	}
	mac.text(c.path)
	for _, p := range c.params {
		mac.text(p)
	}
	for _, name := range sortedKeys(c.query) {
		if name != "cursor" && name != "limit" {
			mac.text(name)
			mac.text(c.query.Get(name))
		}
	}
	mac.text("place")
	mac.text(place)
	return mac.Sum(nil)[:cursorTag]
}

// pages are buffers to use again: a page is the largest thing that an answer needs.
var pages = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// list answers with a page: the items as they are, and where the next page begins
// ("" for the last one).
func (c *call) list(items [][]byte, next string) error {
	b := pages.Get().(*bytes.Buffer)
	defer pages.Put(b)
	b.Reset()
	b.WriteString(`{"object":"list","data":[`)
	for i, item := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(item)
	}
	b.WriteString(`],"has_more":`)
	b.WriteString(strconv.FormatBool(next != ""))
	b.WriteString(`,"next_cursor":`)
	if next == "" {
		b.WriteString("null}")
	} else {
		cursor := c.cursorText(next)
		b.WriteString(strconv.Quote(cursor))
		b.WriteByte('}')
		c.answer.Header()["Link"] = []string{"<" + c.nextURL(cursor) + `>; rel="next"`}
	}
	c.answer.Header()["Cache-Control"] = headerPrivate
	return c.json(http.StatusOK, b.Bytes())
}

// nextURL is this request with another cursor, relative to the host.
func (c *call) nextURL(cursor string) string {
	query := url.Values{}
	for name, values := range c.query {
		query[name] = values
	}
	query.Set("cursor", cursor)
	return (&url.URL{Path: c.request.URL.Path, RawPath: c.request.URL.RawPath}).EscapedPath() + "?" + query.Encode()
}
