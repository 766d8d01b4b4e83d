//go:build !planted

package planted

// Here says whether the program has this bug: it has none.
func (Bug) Here() bool { return false }
