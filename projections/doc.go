// Package projections is the read side: views of the log that are rebuilt from
// it at will.
//
// One Runner follows the log, decodes each record once and hands it to every
// Projector. A projector writes what it makes of a record into a batch, and the
// batch goes to the database together with the position reached, so a crash at
// any moment leaves a view of some moment, never half of one. The database keeps
// no write-ahead log: what a crash takes is read from the log again.
//
// The customers projector keeps views that advance as one: payment methods, with
// the JSON of each ready to be sent; setup intents; public events, each rendered
// once as the message that goes over NATS; and what is due. The organizations
// projector keeps API keys, settings and test clocks.
//
// What is due is a to-do list, and two workers execute commands to shorten it: a
// Worker asks gateways, an ExpiryClock waits for moments. The events that follow
// take the items off. Neither keeps anything on disk: whatever step they die at,
// the list says what remains, and ids that follow from the log make a repeat
// harmless.
package projections
