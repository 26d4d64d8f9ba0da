package hp3par

import (
	"fmt"
	"regexp"
	"strings"
)

// act is one change, independent of the method that carries it.
type act struct {
	op    string
	group string            // the group's name on the array that is told
	with  map[string]string // what the operation needs besides
}

// Operations on groups.
const (
	opStart    = "start"
	opStop     = "stop"
	opStopPeer = "stop-remote" // told to the secondary: the primary's management is dead
	opSync     = "sync"
	opFailover = "failover"
	opRecover  = "recover"
	opRestore  = "restore"
	opRestore0 = "restore-nostart"
	opReverse  = "reverse"
	opRevert   = "revert"  // roles on this array only
	opNatural  = "natural" // natural direction on this array only
	opRemove   = "remove"  // the group on both arrays; the volumes stay
)

// templates are the command lines of operations; {x} is replaced by act.with["x"], {g} by
// the group.
var templates = map[string]string{
	opStart:    "startrcopygroup {g}",
	opStop:     "stoprcopygroup -f {g}",
	opStopPeer: "stoprcopygroup -f -remote {g}",
	opSync:     "syncrcopy -w {g}",
	opFailover: "setrcopygroup failover -f -waittask {g}",
	opRecover:  "setrcopygroup recover -f -waittask {g}",
	opRestore:  "setrcopygroup restore -f -waittask {g}",
	opRestore0: "setrcopygroup restore -f -waittask -nostart {g}",
	opReverse:  "setrcopygroup reverse -f -waittask {g}",
	opRevert:   "setrcopygroup reverse -f -waittask -stopgroups -local -current {g}",
	opNatural:  "setrcopygroup reverse -f -waittask -natural -local {g}",
	opRemove:   "removercopygroup -f {g}",
}

// plainWord is what may stand in a command line without quotes: no blank, and nothing that any
// command line interpreter could take for its own.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:@-]*$`)

// cli is the command line of an act.
func (a act) cli() (string, error) {
	if line, ok, err := lifeCycleLine(a); ok {
		return line, err
	}
	text, ok := templates[a.op]
	if !ok {
		return "", fmt.Errorf("%w: operation %q", ErrArgument, a.op)
	}
	words := strings.Fields(text)
	for i, w := range words {
		if !strings.Contains(w, "{") {
			continue
		}
		full := strings.ReplaceAll(w, "{g}", a.group)
		for k, v := range a.with {
			full = strings.ReplaceAll(full, "{"+k+"}", v)
		}
		if !plainWord.MatchString(full) {
			return "", fmt.Errorf("%w: %q", ErrArgument, full)
		}
		words[i] = full
	}
	return strings.Join(words, " "), nil
}
