// Command ddsgo replicates block volumes asynchronously and drives the
// replication of storage arrays with the same verbs.
package main

import (
	"os"

	"github.com/ddsgo/ddsgo/cmd/ddsgo/cli"
)

func main() {
	os.Exit(cli.Main(os.Args, os.Stdin, os.Stdout, os.Stderr))
}
