// Command pmledger is the ledger of payment methods as one binary: the server,
// and the tools of those who operate and audit it.
package main

import "os"

func main() {
	p := program{stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ}
	os.Exit(p.run(os.Args[1:]))
}
