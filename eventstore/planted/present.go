//go:build planted

package planted

import "os"

// Here says whether the program has this bug.
func (b Bug) Here() bool { return os.Getenv(Env) == string(b) }
