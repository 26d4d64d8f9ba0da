//go:build lab

package replica_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/lab"
)

// labDamage is a way to break a chain on real LVM.
type labDamage struct {
	name   string
	code   int // of the next sync
	damage func(*pair)
}

// writableTarget lets do write to the target as an administrator might.
func (p *pair) writableTarget(do func()) {
	p.t.Helper()
	lab.Run(p.t, "lvm", "lvchange", "-prw", p.dst.Name+"/appdata")
	do()
	lab.Run(p.t, "lvm", "lvchange", "-pr", p.dst.Name+"/appdata")
}

// spoilState damages the state files of one end.
func (p *pair) spoilState(end string) {
	p.t.Helper()
	files, err := filepath.Glob(filepath.Join(p.dir, end, "volumes", "*", "state.json"))
	require.NoError(p.t, err)
	require.NotEmpty(p.t, files)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(p.t, err)
		require.NoError(p.t, os.WriteFile(f, bytes.Replace(b, []byte("role"), []byte("r0le"), 1), 0o600))
	}
}

// retag changes the ddsgo.cond tag of a volume.
func (p *pair) dropTags(lv string) {
	p.t.Helper()
	for _, tag := range strings.Split(strings.TrimSpace(lab.Run(p.t, "lvm", "lvs", "--noheadings", "-o", "lv_tags", lv)), ",") {
		if strings.HasPrefix(tag, "ddsgo.") {
			lab.Run(p.t, "lvm", "lvchange", "--deltag", tag, lv)
		}
	}
}

func labDamages() []labDamage {
	return []labDamage{
		{"tracking snapshot overflowed", 10, func(p *pair) { lab.Fill(p.t, p.source, 3, 5*mib) }},
		{"tracking snapshot removed", 10, func(p *pair) { lab.Run(p.t, "lvm", "lvremove", "-f", p.snap1()) }},
		{"source's state directory lost", 15, func(p *pair) { require.NoError(p.t, os.RemoveAll(filepath.Join(p.dir, "near"))) }},
		{"source's state damaged", 15, func(p *pair) { p.spoilState("near") }},
		{"source's tags removed", 15, func(p *pair) { p.dropTags(p.src.Name + "/app-data") }},
		{"target's state directory lost", 15, func(p *pair) { require.NoError(p.t, os.RemoveAll(filepath.Join(p.dir, "far"))) }},
		{"target's state damaged", 15, func(p *pair) { p.spoilState("far") }},
		{"target's tags removed", 15, func(p *pair) { p.dropTags(p.dst.Name + "/appdata") }},
		{"target written by somebody", 10, func(p *pair) {
			p.writableTarget(func() { lab.WriteAt(p.t, p.target, bytes.Repeat([]byte("x"), 4096), 3*mib) })
		}},
		{"target replaced by a new volume", 10, func(p *pair) {
			lab.Run(p.t, "lvm", "lvchange", "-prw", p.dst.Name+"/appdata")
			lab.Run(p.t, "lvm", "lvremove", "-f", p.dst.Name+"/appdata")
			p.dst.LV(p.t, "appdata", 8*mib)
		}},
		{"target rolled back, state and all", 15, func(p *pair) {
			before, err := os.ReadFile(p.target)
			require.NoError(p.t, err)
			kept := filepath.Join(lab.Dir(p.t), "far")
			lab.Run(p.t, "cp", "-a", filepath.Join(p.dir, "far"), kept)
			lab.WriteAt(p.t, p.source, bytes.Repeat([]byte("newer"), 4096), 5*mib)
			p.ok("sync", "app")
			p.writableTarget(func() { lab.WriteAt(p.t, p.target, before, 0) })
			require.NoError(p.t, os.RemoveAll(filepath.Join(p.dir, "far")))
			require.NoError(p.t, os.Rename(kept, filepath.Join(p.dir, "far")))
		}},
	}
}

// smallSnapshots makes the tracking snapshot easy to overflow.
func (p *pair) smallSnapshots() {
	p.t.Helper()
	cfg, err := os.ReadFile(p.config())
	require.NoError(p.t, err)
	require.NoError(p.t, os.WriteFile(p.config(), bytes.Replace(cfg, []byte("snap_size: 100%"), []byte("snap_size: 3MiB"), 1), 0o600))
}

// syncReport is the report line of a --json run.
func syncReport(t *testing.T, out string) report.Sync {
	t.Helper()
	sc := bufio.NewScanner(strings.NewReader(out))
	for sc.Scan() {
		var line struct {
			MessageType string `json:"message_type"`
			report.Sync
		}
		if json.Unmarshal(sc.Bytes(), &line) == nil && line.MessageType == "report" {
			return line.Sync
		}
	}
	t.Fatalf("no report in %s", out)
	return report.Sync{}
}

// labDamageHead stands before the part of docs/DAMAGE.md that make damage-table generates here.
const labDamageHead = `
## On real LVM

Volumes of 8 MiB, snapshots of 3 MiB, the real program (` + "`TestResyncDamages`" + `, ` + "`make lab`" + `).

| damage | sync exits | bytes that differ | content sent | digests, both ways | sent / differing |
|---|--:|--:|--:|--:|--:|
`

// TestResyncDamages: on real LVM, whatever broke the chain, a sync says so and names resync, one
// resync mends it and sends at most 1.1 times what differs plus the digests, and the next sync
// is incremental again.
func TestResyncDamages(t *testing.T) {
	p := newPair(t, 8*mib, nil)
	p.smallSnapshots()
	lab.Fill(t, p.source, 1, 6*mib)
	p.ok("full", "app")
	var rows strings.Builder
	for i, d := range labDamages() {
		t.Log(d.name)
		d.damage(p)
		lab.WriteAt(t, p.source, bytes.Repeat([]byte{byte(i + 1)}, 16384), int64(i)*512<<10)
		code, out := p.run("sync", "app")
		require.Equal(t, d.code, code, "%s: %s", d.name, out)
		rep := syncReport(t, p.ok("resync", "app", "--json"))
		p.requireEqual()
		differ, sent := rep.Compared.DifferingBytes, rep.Transfer.SentBytes+rep.Compared.DigestBytes
		require.GreaterOrEqual(t, differ, int64(16384), d.name)
		require.LessOrEqual(t, sent, differ*11/10+rep.Compared.DigestBytes+2048, "%s: %d bytes differ", d.name, differ)
		t.Logf("%s: sync exits %d; resync sent %d bytes of content for %d that differ, %d of digests", d.name, code, rep.Transfer.SentBytes, differ, rep.Compared.DigestBytes)
		fmt.Fprintf(&rows, "| %s | %d | %d | %d | %d | %.3f |\n", d.name, code, differ, rep.Transfer.SentBytes, rep.Compared.DigestBytes, float64(rep.Transfer.SentBytes)/float64(differ))
	}
	require.NoError(t, os.WriteFile(filepath.Join(lab.OutDir(t), "damage-lab.md"), []byte(labDamageHead+rows.String()), 0o644))
	lab.WriteAt(t, p.source, bytes.Repeat([]byte("last"), 2048), mib)
	p.ok("sync", "app")
	p.requireEqual()
	require.Equal(t, "clean", *p.status().Condition)
}

// TestResyncVerify: one wrong byte on the target, on real devices: verify finds its block, and
// repairs it with one block.
func TestResyncVerify(t *testing.T) {
	p := newPair(t, 16*mib, lab.SSHD(t))
	lab.Fill(t, p.source, 1, 12*mib)
	p.ok("full", "app")
	w := lab.Writer(t, p.source)
	p.ok("verify", "app")
	native := p.status().Sides[1].Native
	require.Contains(t, native, "verified")
	const at = 5246976
	b, err := os.ReadFile(p.target)
	require.NoError(t, err)
	block := bytes.Clone(b[at : at+4096])
	block[321] ^= 1
	p.writableTarget(func() { lab.WriteAt(t, p.target, block, at) })
	code, out := p.run("verify", "app")
	require.Equal(t, 10, code, out)
	require.Contains(t, out, "differs: offset 5246976, 4096 bytes")
	require.Equal(t, "suspect", *p.status().Condition)
	p.refused(10, "verify found 1 blocks", "sync", "app")
	out = p.ok("verify", "app", "--repair", "--json")
	require.Contains(t, out, `"repaired":true`)
	require.Contains(t, out, `"changed_bytes":4096`)
	p.requireEqual()
	p.ok("sync", "app")
	w.Stop()
	p.ok("sync", "app")
	p.requireEqual()
	require.Equal(t, lab.Hash(t, p.source), lab.Hash(t, p.target))
}
