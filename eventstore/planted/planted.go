// Package planted holds bugs, so that the tests that must catch them can be held
// to it. They exist only in programs built with the tag "planted"; there the
// environment chooses one. In every other build Bug.Here is false and the compiler
// leaves out what stands behind it.
package planted

// Env names the bug that a build with the tag "planted" has.
const Env = "PMLEDGER_PLANTED"

// Bug is a mistake that a good engineer could make, in one place of the code.
type Bug string

// In the log on a disk.
const (
	SkipSync            Bug = "an append is not synced"                          // answered when the engine has it
	SplitAppend         Bug = "each record of an append is committed for itself" // so a crash leaves a part of them
	MarkerFirst         Bug = "a manifest's marker may be on the disk before it" // the engine's order, without a sync of the folder
	FloorUnsynced       Bug = "the floor is renamed before its bytes are synced" // as with many a file that is replaced
	SkipExpectedVersion Bug = "the expected version is not checked"              // whoever comes last wins
	RepeatByVersion     Bug = "a repeat is recognized by its version alone"      // another's append passes for one's own
	RetrySync           Bug = "a sync that failed is tried again"                // the second one finds nothing to write
	SkipGate            Bug = "a full volume does not refuse appends"            // the engine runs into it
	SkipScan            Bug = "a log is opened without a look at its files"      // the engine takes damage for the end
	IgnoreFloor         Bug = "the log may end before a position it has reached" // the engine forgets a whole table
)

// In the adapter of an event store's cluster.
const FollowFromHead Bug = "who follows the log goes on at its end after an interruption" // whatever was appended meanwhile

// In the ledger, between processes.
const (
	DecideAgain  Bug = "after a conflict a command does not look for itself" // another process has executed it meanwhile
	SkipConfirm  Bug = "what was appended is not read back"                  // another's append of the same ids passes for one's own
	TimeGoesBack Bug = "the time of events follows the machine's clock"      // also when that is set back
)

// In the ledger and the API.
const (
	KeyAlone         Bug = "a repeat is recognized by its idempotency key alone"               // whatever is asked under it
	FoldFirst        Bug = "events are folded before they are appended"                        // for whoever reads meanwhile
	AnyonesIntent    Bug = "a setup intent is found whosever it is"                            // as it is for its client secret
	AnyonesID        Bug = "an id derived from an idempotency key leaves out the organization" // keys are thought to be random
	AnyonesCursor    Bug = "a cursor leads on in the lists of every organization"              // its signature leaves out whose it is
	ReadUnscoped     Bug = "a call that only reads needs no scope"                             // any key of the organization will do
	UnscreenedNames  Bug = "the names in a body are not screened for card numbers"             // only its strings and numbers
	ShownValue       Bug = "a fault shows the value that is wrong"                             // so that it is easily found
	IgnoredIfMatch   Bug = "If-Match is not looked at"                                         // the last writer wins
	ConnectionIsKept Bug = "a connection is kept after a request that can be misread"          // what follows is the next one
)

// In reads and writes while the server is killed.
const (
	SkipWait    Bug = "a read does not wait for the views"                          // they are behind for a millisecond
	OwnHead     Bug = "the head is what this process has written"                   // which holds for one server alone
	DetachLater Bug = "a detach whose result nobody wants to see is not waited for" // its request ends, and it with that
)

// In the projections.
const (
	DamageIsNothing Bug = "a row of the views that cannot be read is not there" // an error counts as not found
	PassOverGaps    Bug = "the walk through the stream passes over gaps"        // as the server does

	SkipUnknown       Bug = "a projection skips what it does not understand"               // instead of halting there
	CheckpointFirst   Bug = "the checkpoint is written before the rows"                    // in a batch of its own
	FreshGatewayKey   Bug = "each question to a gateway has an idempotency key of its own" // also a repeated one
	ForgetUnanswered  Bug = "gateway work is off the worker's list when it was tried"      // whatever the gateway answered
	MachineTime       Bug = "the clock goes by the machine's time"                         // also where an organization has a test clock
	WindowOnly        Bug = "only the duplicate window keeps messages from coming twice"   // no expected sequence
	RemembersItsPlace Bug = "the publisher trusts its memory, not the stream's end"        // after a lost answer
)
