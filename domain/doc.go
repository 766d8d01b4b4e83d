// Package domain is the rules of a payment-method ledger, and nothing else.
//
// A customer owns payment methods: tokens at a gateway with the facts one may
// show about them. A command asks for a change (attach, verify, replace, set the
// default, detach) or brings word from outside (what the gateway answered, what
// the clock shows). Decide looks at the customer's state and answers with the events
// that follow, or with a refusal. Evolve folds an event into the state. The events of
// one customer, in order, are its whole truth: "at most one default" and "not
// detachable while in use" hold at every prefix of them because every command on
// a customer is decided against all that came before.
//
// Nothing here reads a clock, makes an id, waits, or touches the outside world:
// times and ids come with the command. So every rule can be tested as text, and
// every answer can be reproduced from the log.
//
// What a gateway has to be asked is recorded as a fact before it is asked, and its
// answer names the question. So a process may die between the two, an answer may
// come late or twice, and each question still is answered once.
//
// A history that no command could have led to (a second default, an event about a
// detached method) is named by Contradiction; whoever reads a stream asks it
// before each Evolve and stops there.
//
// The set of events is closed. A stored event has a name that never changes
// (catalogue in testdata/events.golden), and old shapes are read through upcasts.
package domain
