//go:build lab

package replica_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/lab"
)

// How long a test waits for something that has no event.
const (
	waitLong = 2 * time.Minute
	waitTick = 50 * time.Millisecond
)

// TestLinkFails: while a delta is on its way between two machines, the link goes down, or swallows
// every packet without a word. Either way the run ends within the progress time-out, the target
// is untouched, and the same command finishes as soon as the link is back, although the far end
// may not have noticed anything yet.
func TestLinkFails(t *testing.T) {
	link := lab.NetPair(t)
	p := newPair(t, 8*mib, lab.SSHDBehind(t, link))
	p.near = link.A
	p.extra = "progress_timeout: 8s, codec: none, "
	p.configure("host: dr1, ")
	lab.Fill(t, p.source, 1, 7*mib)
	p.ok("full", "app")
	for round, fault := range []struct {
		name        string
		spoil, mend func()
	}{
		{"every packet lost", func() { link.Shape("loss", "100%") }, func() { link.Shape("delay", "0ms") }},
		{"link down", link.Cut, link.Join},
	} {
		if round > 0 && !thorough() {
			break
		}
		before := lab.Hash(t, p.target)
		lab.Fill(t, p.source, uint64(round)+2, 7*mib)
		link.Shape("rate", "8mbit") // the delta takes seconds
		cmd := p.command("sync", "app")
		require.NoError(t, cmd.Start())
		require.True(t, p.awaitSpool(), "no delta arrives")
		fault.spoil()
		began := time.Now()
		err := cmd.Wait()
		took := time.Since(began)
		require.Error(t, err, fault.name)
		require.Equal(t, 12, cmd.ProcessState.ExitCode(), fault.name)
		require.Less(t, took, 40*time.Second, "%s: progress time-out is 8 s; this machine is slow", fault.name)
		require.Equal(t, before, lab.Hash(t, p.target), "the target is untouched")
		fault.mend()
		link.Shape("delay", "0ms")
		p.ok("sync", "app")
		p.requireEqual()
		t.Logf("%s: ended after %v", fault.name, took.Round(time.Second))
	}
}
