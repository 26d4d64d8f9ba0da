package rbd

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
)

// newer is an answer in the shape of a later release: written by hand, not run. See the README there.
func newer(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "newer-not-run", name+".stdout"))
	require.NoError(t, err)
	return string(b)
}

func say(stdout string) *CLI {
	return NewCLI(Cluster{Name: "primary"}, Times{}, answer{stdout: stdout})
}

// Keys that later releases add, rename or leave out do not matter where they are not needed.
func TestShapesOfNewerReleasesNotRun(t *testing.T) {
	p, err := say(newer(t, "pool_info")).PoolInfo(t.Context(), "volumes")
	require.NoError(t, err)
	rx, ok := p.RX()
	require.True(t, ok)
	require.Equal(t, "64fa7e07-16eb-4e44-b1f6-f4ca870ff2d6", rx.MirrorUUID, "the pool's own uuid is another key")

	i, err := say(newer(t, "info_primary")).Info(t.Context(), test)
	require.NoError(t, err)
	require.True(t, i.IsPrimary() && i.Mirrored() && i.Has("journaling"))
	require.Equal(t, "golden", i.Parent.Image)

	i, err = say(newer(t, "info_creating")).Info(t.Context(), test)
	require.NoError(t, err)
	f := facts{Exists: true}
	f.setInfo(i)
	require.True(t, f.Mirrored, "an image that is being created by mirroring is not somebody's own")
	require.Equal(t, copyRunning, f.firstCopyOf(ModeJournal))
	require.Equal(t, copyRunning, f.firstCopyOf(ModeSnapshot))

	s, err := say(newer(t, "status_secondary")).ImageStatus(t.Context(), test)
	require.NoError(t, err)
	label, r := s.Replaying()
	require.Equal(t, "replaying", label)
	require.EqualValues(t, 1795205854, r.LocalTimestamp)

	snaps, err := say(newer(t, "snapls_secondary")).Snapshots(t.Context(), test)
	require.NoError(t, err)
	f = facts{}
	f.setSnapshots(snaps)
	require.EqualValues(t, 4, f.Complete.ID, "the incomplete copy of a demotion is not complete")
	require.True(t, f.Copying)
	require.Nil(t, f.Newest)

	own, _, err := say(newer(t, "schedules")).Schedules(t.Context(), Image{Pool: "volumes", Name: "s"})
	require.NoError(t, err)
	require.Equal(t, []Schedule{{Interval: "1h", Start: "14:00:00-05:00"}}, own)
}

// A key that is missing, or has another name, is an answer that cannot be read or bad news; it never
// makes a copy look complete that is not.
func TestMissingKeysAreNeverGoodNews(t *testing.T) {
	base := map[string]string{}
	for _, n := range []string{"pool_info", "info_primary", "journal_status", "snapls_primary", "snapls_secondary"} {
		base[n] = newer(t, n)
	}
	base["status"] = `{"name":"j","state":"up+syncing","description":"bootstrapping, IMAGE_SYNC/COPY_IMAGE 46%","daemon_service":{"instance_id":"1"},"last_update":"2026-11-20 20:18:24","peer_sites":[]}`
	require.Equal(t, []array.Tri{array.No, array.No}, readAll(t, base))
	variants := 0
	for name, text := range base {
		for _, cut := range withoutOneKey(t, text) {
			answers := map[string]string{}
			for k, v := range base {
				answers[k] = v
			}
			answers[name] = cut
			variants++
			for i, got := range readAll(t, answers) {
				require.NotEqual(t, array.Yes, got, "%s mode, %s: %s", []string{ModeJournal, ModeSnapshot}[i], name, cut)
			}
		}
	}
	require.Greater(t, variants, 60)
}

// readAll decodes the answers of both sides and says, for each mode, whether the copy is called exact.
// An answer that cannot be read makes it unknown. A running first copy must stay one, too.
func readAll(t *testing.T, answers map[string]string) []array.Tri {
	t.Helper()
	ctx := t.Context()
	unread := []array.Tri{array.Unknown, array.Unknown}
	a, b := facts{Exists: true}, facts{Exists: true, Mirrored: true}
	if a.readPool(ctx, say(answers["pool_info"]), "volumes") != nil {
		return unread
	}
	info, err := say(answers["info_primary"]).Info(ctx, test)
	if err != nil {
		return unread
	}
	a.setInfo(info)
	if a.has("journaling") {
		j, err := say(answers["journal_status"]).Journal(ctx, test)
		if err != nil {
			return unread
		}
		a.setJournal(j)
	}
	for f, name := range map[*facts]string{&a: "snapls_primary", &b: "snapls_secondary"} {
		snaps, err := say(answers[name]).Snapshots(ctx, test)
		if err != nil {
			return unread
		}
		f.setSnapshots(snaps)
	}
	s, err := say(answers["status"]).ImageStatus(ctx, test)
	require.NoError(t, err)
	copying := facts{Exists: true}
	copying.setStatus(s, time.Now())
	require.NotEqual(t, copyDone, copying.firstCopyOf(ModeJournal), answers["status"])
	p := pair{o: array.Observation{Sides: []array.Side{{Reachable: true}, {Reachable: true}}}, facts: [2]facts{a, b}}
	return []array.Tri{p.caughtUp(ModeJournal, 0, 1), p.caughtUp(ModeSnapshot, 0, 1)}
}

// withoutOneKey is every text that has one key less, at any depth.
func withoutOneKey(t *testing.T, text string) []string {
	t.Helper()
	var out []string
	for n := 0; ; n++ {
		var v any
		require.NoError(t, json.Unmarshal([]byte(text), &v))
		left := n
		if !dropKey(v, &left) {
			return out
		}
		b, err := json.Marshal(v)
		require.NoError(t, err)
		out = append(out, string(b))
	}
}

// dropKey removes the n-th key that it comes to.
func dropKey(v any, n *int) bool {
	switch x := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(x)) {
			if *n == 0 {
				delete(x, k)
				return true
			}
			*n--
			if dropKey(x[k], n) {
				return true
			}
		}
	case []any:
		for _, e := range x {
			if dropKey(e, n) {
				return true
			}
		}
	}
	return false
}

// Without knowing who is primary nothing may be decided: not "no", but not read.
func TestRoleThatIsNotToldIsNotRead(t *testing.T) {
	for _, cut := range []string{`"primary":true,`, `"state":"enabled",`} {
		text := strings.Replace(newer(t, "info_primary"), cut, "", 1)
		require.NotEqual(t, newer(t, "info_primary"), text)
		_, err := say(text).Info(t.Context(), test)
		require.ErrorIs(t, err, ErrBadAnswer)
	}
}

// A daemon printed 4629700416936869888 seconds once; numbers that fit nothing do not hide the label.
func TestGarbageInADescription(t *testing.T) {
	s := Status{State: "up+replaying", Description: `replaying, {"entries_behind_primary":257,"seconds_until_synced":4629700416936869888,"x":1e400}`}
	label, _ := s.Replaying()
	require.Equal(t, "replaying", label)
	s.Description = `replaying, {"entries_behind_primary":257,"seconds_until_synced":99999999999999999999999}`
	label, r := s.Replaying()
	require.Equal(t, "replaying", label)
	require.EqualValues(t, 257, *r.EntriesBehind)
}

// This rbd does not know an option or a command: its usage is not mistaken for an answer.
func TestUsageIsAnErrorOfItsOwn(t *testing.T) {
	for _, said := range []string{"rbd: unrecognised option '--connect-timeout'", "error: unknown option 'nosuch verb'"} {
		_, err := NewCLI(Cluster{Name: "p"}, Times{}, answer{stdout: "usage: rbd <command> ...", stderr: said, rc: 1}).Info(t.Context(), test)
		require.ErrorIs(t, err, ErrUsage, said)
	}
}

// What `rbd info` and `ls -l` tell of an image: features, journal id, mirroring, lock.
func TestRecordedImageAndLock(t *testing.T) {
	for name, primary := range map[string]bool{"info_j": true, "info_j_secondary": false} {
		c, _ := play(t, name)
		i, err := c.Info(t.Context(), test)
		require.NoError(t, err)
		require.True(t, i.Has("journaling"))
		require.NotEmpty(t, i.JournalID)
		require.Equal(t, "enabled", i.Mirroring.State)
		require.Equal(t, "17714cd9-02c1-451d-87cf-1cdf3a03a1cb", i.Mirroring.GlobalID)
		require.Equal(t, primary, i.IsPrimary())
		var f facts
		f.setInfo(i)
		require.Equal(t, i.JournalID, f.Journal)
	}
	c, _ := play(t, "info_j")
	i, err := c.Info(t.Context(), test)
	require.NoError(t, err)
	require.Equal(t, "102cb3103bb7", i.JournalID)
	c, _ = play(t, "ls_secondary")
	rows, err := c.List(t.Context(), "volumes")
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Equal(t, "excl", lockWord(rows[0].LockType))
	c, _ = play(t, "ls_primary")
	rows, err = c.List(t.Context(), "volumes")
	require.NoError(t, err)
	require.Equal(t, "none", lockWord(rows[0].LockType))
}
