//go:build lab

package replica_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/lab"
)

// newPairOn is newPair, with each volume group on a device whose table the test can change.
func newPairOn(t *testing.T, size int64, ssh *lab.SSHServer) (p *pair, source, target *lab.Mapping) {
	t.Helper()
	source, target = lab.Flaky(t, lab.Disk(t, 256*mib)), lab.Flaky(t, lab.Disk(t, 256*mib))
	p = &pair{t: t, src: lab.VGOn(t, source.Path, ""), dst: lab.VGOn(t, target.Path, ""), dir: lab.Dir(t)}
	p.source, p.target = p.src.LV(t, "app-data", size), p.dst.LV(t, "appdata", size)
	host := ""
	if ssh != nil {
		host = "host: " + ssh.Host + ", "
		p.env = append(ssh.Env(), "DDSGO_SSH_CONFIG="+ssh.Config)
	}
	p.configure(host)
	return p, source, target
}

// thorough says that time is no object: LAB_FULL=1, as in make lab-full and make soak.
func thorough() bool { return os.Getenv("LAB_FULL") != "" }

// takesLong keeps a test out of the short form.
func takesLong(t *testing.T) {
	t.Helper()
	if !thorough() {
		t.Skip("skipped: no part of the short form (LAB_FULL=1, make lab-full and make soak run it)")
	}
}

// condition is the target's own word for what it holds.
func (p *pair) condition() string {
	p.t.Helper()
	c := p.status().Condition
	require.NotNil(p.t, c)
	return *c
}

// TestTargetDiskFails: while a delta is written, the target's disk refuses writes, or one block of
// it is bad, or it takes writes and forgets them. The first two are visible as `applying`, and
// the next sync finishes them; the last is what verify is for.
func TestTargetDiskFails(t *testing.T) {
	p, _, disk := newPairOn(t, 8*mib, nil)
	lab.Fill(t, p.source, 1, 6*mib)
	p.ok("full", "app")
	off, length := p.dst.Extent(t, "appdata")
	changed := bytes.Repeat([]byte("changed!"), 128<<10)

	for i, fault := range []struct {
		name string
		fail func()
	}{
		{"every write fails (dm-flakey)", func() { disk.ErrorWritesIn(off, length) }},
		{"the last block is bad (dm-error)", func() { disk.ErrorRange(off+2*mib-4096, 4096) }},
		{"a block in the middle is bad (dm-error)", func() { disk.ErrorRange(off+mib+64<<10, 4096) }},
		{"every request fails (dm-error)", func() { disk.ErrorRange(off, length) }},
	} {
		if i >= 2 && !thorough() {
			break
		}
		name := fault.name
		t.Log(name)
		changed[0]++
		lab.WriteAt(t, p.source, changed, mib)
		fault.fail()
		code, out := p.run("sync", "app")
		disk.Allow()
		require.NotZero(t, code, out)
		require.Contains(t, out, "input/output error", name)
		require.Equal(t, "applying", p.condition(), name)
		p.ok("sync", "app")
		p.requireEqual()
		require.Equal(t, "clean", p.condition())
	}

	lab.WriteAt(t, p.source, bytes.Repeat([]byte("forgotten"), 4096)[:32<<10], 3*mib)
	disk.DropWritesIn(off, length)
	p.ok("sync", "app")
	disk.Allow()
	require.NotEqual(t, lab.Hash(t, p.snap1()), lab.Hash(t, p.target), "the disk kept what it should have lost")
	code, out := p.run("verify", "app")
	require.Equal(t, 10, code, out)
	require.Contains(t, out, "differs: offset 3145728, 32768 bytes")
	out = p.ok("verify", "app", "--repair", "--json")
	require.Contains(t, out, `"changed_bytes":32768`)
	p.requireEqual()
	p.ok("sync", "app")
	p.requireEqual()
}

// TestSourceDiskFails: a block of the source cannot be read while its delta is made. No success is
// reported, the target stays what it was, and once the block can be read again the same command
// succeeds.
func TestSourceDiskFails(t *testing.T) {
	p, disk, _ := newPairOn(t, 8*mib, nil)
	lab.Fill(t, p.source, 1, 6*mib)
	p.ok("full", "app")
	before := lab.Hash(t, p.target)
	off, _ := p.src.Extent(t, "app-data")
	places := []int64{2*mib + 508<<10, 2 * mib}
	if !thorough() {
		places = places[:1]
	}
	for _, bad := range places {
		lab.WriteAt(t, p.source, bytes.Repeat([]byte{byte(bad >> 12), 7}, 256<<10), 2*mib)
		disk.ErrorRange(off+bad, 4096)
		code, out := p.run("sync", "app")
		disk.Allow()
		require.NotZero(t, code, out)
		require.Contains(t, out, "input/output error")
		require.Equal(t, before, lab.Hash(t, p.target))
		require.Equal(t, "clean", p.condition())
		p.ok("sync", "app")
		p.requireEqual()
		before = lab.Hash(t, p.target)
	}
}

// TestStalledDisk: the target's disk does not answer for a while, longer than the progress
// time-out. The run waits for it, because the far end lives and says so, and finishes.
func TestStalledDisk(t *testing.T) {
	takesLong(t)
	p, _, disk := newPairOn(t, 24*mib, lab.SSHD(t))
	p.extra = "progress_timeout: 8s, codec: none, "
	p.configure("host: dr1, ")
	lab.Fill(t, p.source, 1, 20*mib)
	p.ok("full", "app")
	lab.Fill(t, p.source, 2, 20*mib)
	cmd := p.command("sync", "app")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	require.True(t, p.awaitSpool(), "no delta arrives")
	disk.Suspend()
	began := time.Now()
	time.Sleep(12 * time.Second) // the length of the stall is what is tested
	disk.Resume()
	require.NoError(t, cmd.Wait(), "after a stall of %v: %s", time.Since(began), out.String())
	p.requireEqual()
}

// awaitSpool waits until a delta arrives at the far end.
func (p *pair) awaitSpool() bool {
	spools := filepath.Join(p.dir, "far", "volumes", "*", "journal", "incoming", "*.delta")
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		files, _ := filepath.Glob(spools)
		if len(files) == 0 {
			continue
		}
		if st, err := os.Stat(files[0]); err == nil && st.Size() > 0 {
			return true
		}
	}
	return false
}
