//go:build lab

package replica_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/lab"
)

// recorded is a target whose disk, with the copy, LVM's metadata and a file system for state and
// journal on it, took down what one sync wrote.
type recorded struct {
	*pair
	disk       *lab.Mapping
	before     []byte // the disk's content
	writes     []lab.Write
	off, end   int64             // of the copy on the disk
	content    map[string]string // generation -> digest of the copy
	generation string            // that the sync made
	apart      bool              // state and journal are on another disk
}

const spoolBytes = 24 * mib

// record makes the pair, a first copy, and then one sync under dm-log-writes.
func record(t *testing.T, apart bool) *recorded {
	t.Helper()
	r := &recorded{pair: &pair{t: t, dir: lab.Dir(t)}, content: map[string]string{}, apart: apart}
	r.disk = lab.Flaky(t, lab.Disk(t, 48*mib))
	log := lab.Disk(t, 256*mib)
	r.src, r.dst = lab.VG(t), lab.VGOn(t, r.disk.Path, "")
	r.source, r.target = r.src.LV(t, "app-data", 8*mib), r.dst.LV(t, "appdata", 8*mib)
	if !apart {
		lab.Run(t, "mkfs.ext4", "-q", "-F", "-m", "0", r.dst.LV(t, "spool", spoolBytes))
	}
	require.NoError(t, os.Mkdir(r.far(), 0o700))
	t.Cleanup(func() { _, _ = lab.Try("umount", r.far()) })
	r.configure("")
	r.mount()
	lab.Fill(t, r.source, 1, 6*mib)
	r.ok("full", "app")
	r.ok("sync", "app")
	r.remember()
	length := int64(0)
	r.off, length = r.dst.Extent(t, "appdata")
	r.end = r.off + length
	r.unmount()

	r.before = bytes.Clone(lab.Image(t, r.disk.Path))
	r.disk.Record(log)
	r.mount()
	r.disk.Mark("sync")
	lab.Fill(t, r.source, 2, 3*mib)
	r.ok("sync", "app")
	r.disk.Mark("done")
	r.generation = r.remember()
	r.disk.Allow()
	r.unmount()
	r.writes = lab.ReadWrites(t, log)
	return r
}

func (r *recorded) far() string { return filepath.Join(r.dir, "far") }

func (r *recorded) mount() {
	r.t.Helper()
	lab.Run(r.t, "lvm", "vgchange", "-ay", r.dst.Name)
	if !r.apart {
		lab.Run(r.t, "mount", r.dst.Path("spool"), r.far())
	}
}

func (r *recorded) unmount() {
	r.t.Helper()
	if !r.apart {
		lab.Run(r.t, "umount", r.far())
	}
	lab.Run(r.t, "lvm", "vgchange", "-an", r.dst.Name)
}

// remember keeps the digest of the copy under the generation that it claims.
func (r *recorded) remember() string {
	r.t.Helper()
	g := r.status().Generation
	r.content[g.UUID] = lab.Hash(r.t, r.target)
	return g.UUID
}

// copies says whether an entry writes to the copy.
func (r *recorded) copies(w lab.Write) bool { return w.Len > 0 && w.Off < r.end && w.Off+w.Len > r.off }

// TestFlushOrder: what one sync wrote to the target's disk, in the order in which the disk had to
// have it. The journal is flushed before the first byte of the copy; the copy is flushed before
// anything on the disk says that the copy is the new generation; that is flushed before the
// sync answers. And whatever prefix of these writes a power cut leaves, the target is the old or
// the new generation byte for byte, or marked, and the next run rolls the journal forward.
func TestFlushOrder(t *testing.T) {
	takesLong(t)
	r := record(t, false)
	begin, done := r.mark("sync"), r.mark("done")
	first, last, clean, flushes := -1, -1, -1, 0
	for i, w := range r.writes[:done] {
		switch {
		case i < begin:
		case r.copies(w):
			if first < 0 {
				first = i
			}
			last = i
		case clean < 0 && r.saysClean(w.Data):
			clean = i
		}
		if w.Flush || w.FUA {
			flushes++
		}
	}
	require.Positive(t, first, "no write to the copy among %d entries", len(r.writes))
	require.Positive(t, clean, "nothing on the disk names the new generation before the sync answered: it was not flushed")
	t.Logf("%d entries, %d flushes; the copy is written by %d..%d, called clean by %d", done-begin, flushes, first-begin, last-begin, clean-begin)
	require.Greater(t, clean, last, "the disk may have the state `clean` before the copy")
	require.True(t, r.flushed(last, clean), "no flush between the last write to the copy and `clean`")
	require.True(t, r.flushed(begin, first), "no flush between the journal and the first write to the copy")
	require.True(t, r.flushed(clean, done), "the sync answered before `clean` was flushed")

	for _, n := range r.cuts(begin, first, last, clean, done) {
		r.powerCut(n, clean, done)
	}
}

// TestTagsAreFlushed: state files on one disk and the volume, with its tags, on another: when a sync has
// answered, a power cut that empties the volume's disk of what was not flushed leaves both in agreement.
func TestTagsAreFlushed(t *testing.T) {
	takesLong(t)
	r := record(t, true)
	done := r.mark("done")
	r.powerCut(done, done, done)
}

// mark is where the test put a word.
func (r *recorded) mark(word string) int {
	for i, w := range r.writes {
		if w.Mark == word {
			return i
		}
	}
	r.t.Fatalf("no mark %q among %d entries", word, len(r.writes))
	return 0
}

// flushed says that the medium was told to flush after entry i and before entry j.
func (r *recorded) flushed(i, j int) bool {
	for _, w := range r.writes[i+1 : j] {
		if w.Flush {
			return true
		}
	}
	return false
}

// saysClean: a state document or LVM's metadata that calls the copy the new generation.
func (r *recorded) saysClean(b []byte) bool {
	gen := regexp.QuoteMeta(r.generation)
	document := regexp.MustCompile(`"kind":\s*"clean"[^{}]*\{\s*"uuid":\s*"` + gen)
	if document.Match(b) {
		return true
	}
	for _, tags := range regexp.MustCompile(`tags\s*=\s*\[[^\]]*\]`).FindAll(b, -1) {
		if bytes.Contains(tags, []byte("ddsgo.cond=clean")) && bytes.Contains(tags, []byte(r.generation)) {
			return true
		}
	}
	return false
}

// cuts are the prefixes to be tried: around every step, and with LAB_FULL=1 also eight more.
func (r *recorded) cuts(begin, first, last, clean, done int) []int {
	if os.Getenv("LAB_FULL") != "" {
		var all []int
		for n := begin; n < done; n += max(1, (done-begin)/8) {
			all = append(all, n)
		}
		return append(all, first, last, clean, done)
	}
	return []int{first, (first+last)/2 + 1, clean, done}
}

// powerCut lets the disk hold the first n entries, boots, and looks.
func (r *recorded) powerCut(n, clean, done int) {
	r.t.Helper()
	lab.Restore(r.t, r.disk.Path, lab.Replay(r.before, r.writes[:n]))
	r.mount()
	defer r.unmount()
	st := r.status()
	require.NotNil(r.t, st.Condition, "cut at %d: %+v", n, st)
	if *st.Condition == "clean" {
		require.Equal(r.t, r.content[st.Generation.UUID], lab.Hash(r.t, r.target), "cut at %d: the target claims %v and is not", n, st.Generation)
	} else {
		require.Contains(r.t, []string{"applying", "inconsistent"}, *st.Condition, "cut at %d", n)
	}
	// The source has gone on meanwhile; one plain sync brings both together.
	if n >= done {
		require.Equal(r.t, r.generation, st.Generation.UUID, "the sync had answered")
	}
	r.ok("sync", "app")
	r.requireEqual()
	r.t.Logf("power cut after entry %d: %s", n, *st.Condition)
}
