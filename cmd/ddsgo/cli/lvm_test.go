package cli

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/transport"
)

// The other end of a copy on this host is this program with this state directory, not whatever
// PATH holds; a host or a command of the configuration is taken as it stands.
func TestTargetOfThisHostIsServedByThisProgram(t *testing.T) {
	env := environment{stateDir: func() (string, error) { return "/state", nil }, log: slog.New(slog.DiscardHandler)}
	byDefault := []string{"ddsgo"}
	for name, c := range map[string]struct {
		configured config.LVMTarget
		want       transport.Target
	}{
		"local":               {config.LVMTarget{Device: "/dev/b", Command: byDefault}, transport.Target{StateDir: "/state"}},
		"local, own state":    {config.LVMTarget{Device: "/dev/b", Command: byDefault, StateDir: "/dr"}, transport.Target{StateDir: "/dr"}},
		"local, own command":  {config.LVMTarget{Device: "/dev/b", Command: []string{"/opt/ddsgo"}}, transport.Target{Command: []string{"/opt/ddsgo"}}},
		"another host":        {config.LVMTarget{Device: "/dev/b", Host: "dr1", Command: byDefault}, transport.Target{Host: "dr1", Command: byDefault}},
		"another host, state": {config.LVMTarget{Device: "/dev/b", Host: "dr1", Command: byDefault, StateDir: "/dr"}, transport.Target{Host: "dr1", Command: byDefault, StateDir: "/dr"}},
	} {
		t.Run(name, func(t *testing.T) {
			leg, err := legOf(env, config.Resource{Name: "r", LVM: &config.LVM{Source: "/dev/a", Codec: "auto", Targets: []config.LVMTarget{c.configured}}})
			require.NoError(t, err)
			require.Equal(t, c.want, leg.Target)
		})
	}
}
