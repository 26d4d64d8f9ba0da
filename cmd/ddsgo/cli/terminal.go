package cli

import (
	"os"

	"golang.org/x/term"
)

// isTerminal says that a stream goes to a person.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
