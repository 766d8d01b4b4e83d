// Package planted holds bugs, so that the tests that must catch them can be held
// to it. They exist only in programs built with the tag "planted"; there the
// environment chooses one. In every other build Bug.Here is false and the compiler
// leaves out what stands behind it.
package planted

// Env names the bug that a build with the tag "planted" has.
const Env = "PMLEDGER_PLANTED"

// Bug is a mistake that a good engineer could make, in one place of the code.
type Bug string
