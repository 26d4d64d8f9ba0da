//go:build lab

package replica_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/lab"
)

// TestMainJob is the README in a test: a first copy over a real sshd, then incremental
// syncs of a volume that is written to all the time.
func TestMainJob(t *testing.T) {
	p := newPair(t, 64*mib, lab.SSHD(t))
	lab.Fill(t, p.source, 1, 40*mib)
	p.refused(10, "never received a full copy", "sync", "app")
	p.ok("full", "app")
	p.requireEqual()
	w := lab.Writer(t, p.source)
	for range 3 {
		p.ok("sync", "app")
		p.requireEqual()
	}
	w.Stop()
	p.ok("sync", "app")
	p.requireEqual()
	require.Equal(t, lab.Hash(t, p.source), lab.Hash(t, p.target), "nobody writes: the target equals the source itself")
	st := p.status()
	require.Equal(t, "up", st.State, "%+v", st)
	require.Equal(t, "clean", *st.Condition)
}

// TestNothingChanged: a sync without changes sends next to nothing and still moves on.
func TestNothingChanged(t *testing.T) {
	p := newPair(t, 16*mib, nil)
	lab.Fill(t, p.source, 1, 16*mib)
	p.ok("full", "app")
	before := p.status().Generation.Seq
	p.ok("sync", "app")
	p.requireEqual()
	require.Equal(t, before+1, p.status().Generation.Seq)
}
