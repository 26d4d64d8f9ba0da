//go:build lab

package replica_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/lab"
)

// holding is a way to use a volume, and to end that.
type holding struct {
	words      string // of the refusal
	hold, free func()
}

// holdings are the ways that the kernel knows.
func (p *pair) holdings(mnt string) []holding {
	t := p.t
	above, loop := p.dst.DMName("appdata")+"-above", ""
	var f *os.File
	opened := func(flag int) func() {
		return func() {
			var err error
			f, err = os.OpenFile(p.target, os.O_RDONLY|flag, 0)
			require.NoError(t, err)
		}
	}
	closed := func() { require.NoError(t, f.Close()) }
	return []holding{
		{"mounted on " + mnt, func() { lab.Run(t, "mount", "-o", "ro,noload", p.target, mnt) }, func() { lab.Run(t, "umount", mnt) }},
		{"part of " + above, func() {
			lab.Run(t, "dmsetup", "create", above, "--readonly", "--table", "0 2048 linear "+p.target+" 0")
		}, func() { lab.Run(t, "dmsetup", "remove", "--retry", above) }},
		{"open ", func() { loop = lab.Run(t, "losetup", "--find", "--show", "--read-only", p.target) }, func() { lab.Run(t, "losetup", "-d", loop) }},
		{"open once", opened(0), closed},
		{"open once", opened(syscall.O_EXCL), closed},
		{"used as swap", func() {
			lab.Run(t, "lvm", "lvchange", "-prw", p.dst.Name+"/appdata")
			lab.Run(t, "mkswap", p.target)
			lab.Run(t, "swapon", p.target)
		}, func() { lab.Run(t, "swapoff", p.target) }},
	}
}

// TestHeldTargets: whoever uses the target, in any of the ways that the kernel knows, keeps every
// delta, full copy and rejoin away from it. Nothing is written, and once it is free the same
// command succeeds.
func TestHeldTargets(t *testing.T) {
	p := newPair(t, 16*mib, nil)
	lab.Run(t, "mkfs.ext4", "-q", "-F", p.source)
	p.ok("full", "app")
	for i, h := range p.holdings(lab.Dir(t)) {
		if i == 2 && !thorough() {
			continue // for the kernel the loop device is one more opener
		}
		t.Log(h.words)
		h.hold()
		before := lab.Hash(t, p.target)
		verbs := []string{"sync app", "full app --overwrite", "resync app"}
		if !thorough() {
			verbs = verbs[i%3:][:1]
		}
		for _, verb := range verbs {
			p.refused(15, h.words, strings.Fields(verb)...)
		}
		require.Equal(t, before, lab.Hash(t, p.target), "%s: something was written", h.words)
		h.free()
		lab.WriteAt(t, p.source, []byte(strings.Repeat(string(rune('a'+i)), 4096)), 15*mib)
		if h.words == "used as swap" { // mkswap wrote to it
			p.refused(10, "behind ddsgo's back", "sync", "app")
			p.ok("resync", "app")
		}
		p.ok("sync", "app")
		p.requireEqual()
	}
}
