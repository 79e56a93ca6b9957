// Command proa is Kubernetes in one binary. See "proa help".
//
// Called under the name kubectl it is kubectl.
package main

import (
	"os"

	"proa/cli"
)

func main() { os.Exit(cli.Main(os.Args)) }
