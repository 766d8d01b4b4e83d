package baseline

import (
	"cmp"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// inOrder makes messages of events, in the order of their ids: DELETE returns them
// in any order.
func inOrder(events []taken) []*nats.Msg {
	slices.SortFunc(events, func(a, b taken) int { return cmp.Compare(a.id, b.id) })
	messages := make([]*nats.Msg, len(events))
	for i, e := range events {
		messages[i] = &nats.Msg{Subject: input + e.organization + "." + e.kind, Data: []byte(e.body), Header: nats.Header{
			"ce-specversion":     {"1.0"},
			"ce-id":              {e.event.id},
			"ce-source":          {"/organizations/" + e.organization},
			"ce-type":            {e.kind},
			"ce-subject":         {e.subject},
			"ce-time":            {e.at.UTC().Format(time.RFC3339Nano)},
			"ce-datacontenttype": {"application/json"},
			"ce-dataschema":      {"urn:pmledger:schema:v1:" + e.kind},
			nats.MsgIdHdr:        {e.event.id},
		}}
	}
	return messages
}
