package transport

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"unicode"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// Target says where the other end is.
type Target struct {
	// Host is any ssh destination (alias, user@host, ssh://user@host:port); "" runs
	// the command on this machine without ssh.
	Host string
	// Command is the remote ddsgo; empty means ["ddsgo"], and for a local target
	// the running executable. "serve --stdio" is added.
	Command  []string
	StateDir string // passed as --state-dir; "" leaves it to the other end
}

// ErrHost says that a destination could be taken for an option or a command.
var ErrHost = errors.New("not an ssh destination")

// hostForm allows host names, addresses (with zone), users (with domain) and
// ssh:// URLs; a leading '-' would be an option to ssh, and white space, quotes and
// metacharacters would reach the shell of a ProxyCommand that contains %h or %r.
var hostForm = regexp.MustCompile(`^[A-Za-z0-9_.:@%+/\[\]\\][A-Za-z0-9_.:@%+/\[\]\\-]*$`)

// maxHost bounds a destination, in bytes.
const maxHost = 512

// Validate refuses what must not reach ssh or a shell.
func (t Target) Validate() error {
	if t.Host != "" && (len(t.Host) > maxHost || !hostForm.MatchString(t.Host) ||
		strings.Contains(t.Host, "@-") || strings.Contains(t.Host, "//-")) {
		return failure.With(failure.CodeUsage, fmt.Sprintf("%.80q", t.Host), "refused as a host",
			"correct `host` in the configuration", ErrHost)
	}
	words := append([]string{t.StateDir}, t.Command...)
	for _, w := range words {
		if strings.ContainsFunc(w, unicode.IsControl) {
			return failure.Usage("%.80q: a remote command or state directory must not hold control characters", w)
		}
	}
	if len(t.Command) > 0 && t.Command[0] == "" {
		return failure.Usage("the command for host %q is empty", t.Host)
	}
	return nil
}

// String names the target in messages.
func (t Target) String() string {
	if t.Host == "" {
		return "local"
	}
	return t.Host
}

// serve is the command that the other end runs, as words.
func (t Target) serve() ([]string, error) {
	words := append([]string(nil), t.Command...)
	if len(words) == 0 {
		words = []string{"ddsgo"}
		if t.Host == "" {
			self, err := os.Executable()
			if err != nil {
				return nil, fmt.Errorf("find our own executable: %w", err)
			}
			words = []string{self}
		}
	}
	words = append(words, "serve", "--stdio")
	if t.StateDir != "" {
		words = append(words, "--state-dir", t.StateDir)
	}
	return words, nil
}

// plainWord needs no quotes in any shell.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,][A-Za-z0-9_./:@%+,=-]*$|^-[A-Za-z0-9_./:@%+,=-]*$`)

// quote makes words a command line for the shell at the other end of ssh.
func quote(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = w
		if !plainWord.MatchString(w) {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
