// Package projections is the read side: views of the log that are rebuilt from
// it at will.
//
// One Runner follows the log, decodes each record once and hands it to every
// Projector. A projector writes what it makes of a record into a batch, and the
// batch goes to the database together with the position reached, so a crash at
// any moment leaves a view of some moment, never half of one. The database keeps
// no write-ahead log: what a crash takes is read from the log again.
//
// The customers projector keeps two views that advance as one: payment methods,
// with the JSON of each ready to be sent, and public events, each rendered once as
// the message that goes over NATS. The organizations projector keeps API keys.
package projections
