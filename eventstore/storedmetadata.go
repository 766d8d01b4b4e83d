package eventstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// storedMetadata is Metadata as it is stored.
type storedMetadata struct {
	Time        string `json:"time"`
	Schema      string `json:"schema"`
	Prev        string `json:"prev"`
	CommandID   string `json:"command_id"`
	RequestMAC  string `json:"request_mac,omitempty"`
	Actor       string `json:"actor,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Correlation string `json:"$correlationId,omitempty"`
	Causation   string `json:"$causationId,omitempty"`
	Traceparent string `json:"traceparent,omitempty"`
}

// timeForm is RFC 3339 with exactly three digits of a second.
const timeForm = "2006-01-02T15:04:05.000Z"

// metadataSize is what most metadata take, in bytes.
const metadataSize = 512

// Encode writes the metadata as it is stored. Every record passes here and most
// are read back soon, so it is done without reflection; the tests hold it to
// what encoding/json makes of storedMetadata.
func (m Metadata) Encode() []byte {
	b := append(make([]byte, 0, metadataSize), `{"time":"`...)
	b = m.Time.UTC().AppendFormat(b, timeForm)
	b = append(b, `","schema":"`...)
	b = strconv.AppendInt(b, int64(m.Schema), 10)
	b = append(b, '"')
	b = appendMember(b, "prev", m.Prev)
	b = appendMember(b, "command_id", m.CommandID)
	for _, o := range [...]struct{ name, value string }{
		{"request_mac", m.RequestMAC}, {"actor", m.Actor}, {"reason", m.Reason},
		{"$correlationId", m.Correlation}, {"$causationId", m.Causation}, {"traceparent", m.Traceparent},
	} {
		if o.value != "" {
			b = appendMember(b, o.name, o.value)
		}
	}
	return append(b, '}')
}

func appendMember(b []byte, name, value string) []byte {
	b = append(append(append(b, `,"`...), name...), `":`...)
	if plain(value) {
		return append(append(append(b, '"'), value...), '"')
	}
	quoted, _ := json.Marshal(value) // a string can always be marshalled
	return append(b, quoted...)
}

// plain tells whether a string stands in JSON as it is.
func plain[S string | []byte](s S) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}

// DecodeMetadata reads a record's metadata. Members it does not know are ignored.
func DecodeMetadata(data []byte) (Metadata, error) {
	var s storedMetadata
	if !s.readPlain(data) {
		s = storedMetadata{}
		if err := json.Unmarshal(data, &s); err != nil {
			return Metadata{}, fmt.Errorf("metadata: %w", err)
		}
	}
	at, err := time.Parse(timeForm, s.Time)
	if err != nil {
		return Metadata{}, fmt.Errorf("metadata: time: %w", err)
	}
	schema, err := strconv.Atoi(s.Schema)
	if err != nil {
		return Metadata{}, fmt.Errorf("metadata: schema: %w", err)
	}
	return Metadata{
		Time: at, Schema: schema, Prev: s.Prev, CommandID: s.CommandID, RequestMAC: s.RequestMAC,
		Actor: s.Actor, Reason: s.Reason, Correlation: s.Correlation, Causation: s.Causation, Traceparent: s.Traceparent,
	}, nil
}

// readPlain reads metadata in the form that Encode writes when nothing in it needs
// an escape: no white space, each known member once. It returns false when they
// are not, and then says nothing about them.
func (s *storedMetadata) readPlain(data []byte) bool {
	rest, ok := bytes.CutPrefix(data, []byte(`{`))
	for ok {
		var name, value []byte
		if name, rest, ok = cutQuoted(rest); !ok {
			return false
		}
		if rest, ok = bytes.CutPrefix(rest, []byte(`:`)); !ok {
			return false
		}
		if value, rest, ok = cutQuoted(rest); !ok {
			return false
		}
		member := s.member(name)
		if member == nil || *member != "" {
			return false
		}
		*member = string(value)
		if string(rest) == "}" {
			return true
		}
		rest, ok = bytes.CutPrefix(rest, []byte(`,`))
	}
	return false
}

// cutQuoted cuts a plain string in quotes off the front of data.
func cutQuoted(data []byte) (content, rest []byte, ok bool) {
	if len(data) == 0 || data[0] != '"' {
		return nil, nil, false
	}
	end := bytes.IndexByte(data[1:], '"')
	if end < 0 || !plain(data[1:end+1]) {
		return nil, nil, false
	}
	return data[1 : end+1], data[end+2:], true
}

func (s *storedMetadata) member(name []byte) *string {
	switch string(name) {
	case "time":
		return &s.Time
	case "schema":
		return &s.Schema
	case "prev":
		return &s.Prev
	case "command_id":
		return &s.CommandID
	case "request_mac":
		return &s.RequestMAC
	case "actor":
		return &s.Actor
	case "reason":
		return &s.Reason
	case "$correlationId":
		return &s.Correlation
	case "$causationId":
		return &s.Causation
	case "traceparent":
		return &s.Traceparent
	}
	return nil
}
