package projections

import (
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
)

// Subjects of published messages, as the prefix before "<organization>.<type>".
// Messages are written to the input subject; consumers read the public one.
const (
	SubjectPrefix      = "pm.v1."
	InputSubjectPrefix = "_pm.in.v1."
)

// Message is a public event as it goes over NATS. All of it is a pure function
// of the log, so that a rebuilt view and two publishers make the same bytes.
type Message struct {
	Position     eventstore.Position // of its record
	Prev         eventstore.Position // of the public event before it; 0 for none
	OrgPrev      eventstore.Position // of the organization's public event before it; 0 for none
	OrgSeq       uint64              // dense from 1 per organization
	ID           uuid.UUID
	Organization string
	Customer     string // "" for a method without a customer
	Type         string // the public name
	SubjectID    string // what it is about: method id, else customer id
	Time         time.Time
	Traceparent  string // "" for none
	Body         []byte // the JSON event
}

// Header is one header of a message. Names are spelt exactly as written here.
type Header struct{ Name, Value string }

// EventID is the message's id as it is shown outside: "evt_" and 32 hex digits.
func (m Message) EventID() string { return domain.EventID(m.ID) }

// Subject is where consumers find the message: pm.v1.<organization>.<type>.
func (m Message) Subject() string { return SubjectPrefix + m.Organization + "." + m.Type }

// InputSubject is where the publisher writes it: _pm.in.v1.<organization>.<type>.
func (m Message) InputSubject() string { return InputSubjectPrefix + m.Organization + "." + m.Type }

// Headers are the message's headers, always in the same order: CloudEvents 1.0 in
// binary mode with the extensions pmposition, pmprev, pmorgseq and pmorgprev, the
// NATS message id, and the trace context when there is one.
func (m Message) Headers() []Header {
	id := m.EventID()
	headers := []Header{
		{"ce-specversion", "1.0"},
		{"ce-id", id},
		{"ce-source", "/organizations/" + m.Organization},
		{"ce-type", m.Type},
		{"ce-subject", m.SubjectID},
		{"ce-time", m.Time.UTC().Format(time.RFC3339Nano)},
		{"ce-datacontenttype", "application/json"},
		{"ce-dataschema", "urn:pmledger:schema:v1:" + m.Type},
		{"ce-pmposition", m.Position.String()},
		{"ce-pmprev", m.Prev.String()},
		{"ce-pmorgseq", strconv.FormatUint(m.OrgSeq, 10)},
		{"ce-pmorgprev", m.OrgPrev.String()},
		{"Nats-Msg-Id", id},
	}
	if m.Traceparent != "" {
		headers = append(headers, Header{"traceparent", m.Traceparent})
	}
	return headers
}
