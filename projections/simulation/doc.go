// Package simulation lives whole lives of the ledger, each out of one seed: some
// years of customers' commands on one or two processes, with a store, a bus and a
// payment provider that fail in three ways (not done, done and not answered, done
// later), with processes that end between any two steps, clocks that jump, and
// requests that are repeated.
//
// One goroutine drives everything, so a seed is a history, and the same history
// each time. The parts are the real ones, taken in steps: the ledger, the views on
// their database, the publisher, the expiry clock, the worker, the sandbox. In
// place of the machine stand a log in memory, files in memory, a clock, and a model
// of JetStream that a test holds to a real server.
//
// After each step, and when the faults have stopped, the invariants are checked. They
// stand in invariants_test.go, by number.
package simulation
