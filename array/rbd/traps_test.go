package rbd

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/run"
)

// recorded answers every call with one recorded answer of Ceph 16.2.15.
type recorded struct {
	t    *testing.T
	name string
	args []string
	env  []string
}

func (r *recorded) Run(_ context.Context, c run.Cmd) (run.Result, error) {
	r.args, r.env = c.Args, c.Env
	read := func(suffix string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", "16.2", r.name+suffix))
		if os.IsNotExist(err) {
			return nil
		}
		require.NoError(r.t, err)
		return b
	}
	rc, err := strconv.Atoi(strings.TrimSpace(string(read(".rc"))))
	require.NoError(r.t, err)
	res := run.Result{Stdout: read(".stdout"), Stderr: read(".stderr"), ExitCode: rc}
	if rc == 0 {
		return res, nil
	}
	return res, &run.ExitError{Cmd: c.String(), ExitCode: rc, Stderr: string(res.Stderr)}
}

func play(t *testing.T, name string) (*CLI, *recorded) {
	t.Helper()
	r := &recorded{t: t, name: name}
	return NewCLI(Cluster{Name: "primary"}, Times{}, r), r
}

var test = Image{Pool: "volumes", Name: "j"}

func TestRecordedErrorsAreToldApart(t *testing.T) {
	for name, want := range map[string]struct {
		kind  error
		errno syscall.Errno
		words string
	}{
		"info_absent":                {ErrNoImage, syscall.ENOENT, "nosuch"},
		"info_nopool":                {ErrNoPool, syscall.ENOENT, "nopool"},
		"ls_nopool":                  {ErrNoPool, syscall.ENOENT, "nopool"},
		"info_nocluster":             {ErrNoCluster, syscall.ENOENT, "nosuch.conf"},
		"info_badkey":                {ErrNoPermission, syscall.EACCES, "couldn't connect"},
		"mirror_status_not_mirrored": {ErrNotMirrored, syscall.EINVAL, "not enabled"},
		"promote_peer_primary_log":   {ErrBusy, syscall.EBUSY, "image is primary within a remote cluster or demotion is not propagated yet"},
		"promote_primary":            {ErrInvalid, syscall.EINVAL, "promoting"},
		"demote_secondary":           {ErrInvalid, syscall.EINVAL, "demoting"},
		"resync_primary":             {ErrInvalid, syscall.EINVAL, "resync"},
		"disable_secondary":          {ErrInvalid, syscall.EINVAL, ""},
		"enable_wrong_mode":          {ErrInvalid, syscall.EINVAL, "invalid current image mirror mode"},
	} {
		c, _ := play(t, name)
		_, err := c.call(t.Context(), "x")
		require.ErrorIs(t, err, want.kind, name)
		require.ErrorIs(t, err, want.errno, name)
		require.ErrorContains(t, err, want.words, name)
		require.NotContains(t, err.Error(), "0x7f", "%s: addresses of librbd are noise", name)
	}
}

// JSON beside a failure is never read: rbd prints [] with rc 2.
func TestOutputBesideAFailureIsNotRead(t *testing.T) {
	r := answer{stdout: "[]", rc: 2, stderr: "rbd: error setting snapshot context: (2) No such file or directory"}
	c := NewCLI(Cluster{Name: "primary"}, Times{}, r)
	got, err := c.Diff(t.Context(), test, "nosuch", "b")
	require.ErrorIs(t, err, ErrNoSnapshot)
	require.Nil(t, got)
}

type answer struct {
	stdout, stderr string
	rc             int
}

func (a answer) Run(_ context.Context, c run.Cmd) (run.Result, error) {
	if a.rc != 0 {
		return run.Result{Stdout: []byte(a.stdout), ExitCode: a.rc}, &run.ExitError{Cmd: c.String(), ExitCode: a.rc, Stderr: a.stderr}
	}
	return run.Result{Stdout: []byte(a.stdout)}, nil
}

// Every call carries all three time-outs, names the cluster, and has a zone for the times it prints.
func TestEveryCallIsBoundedAndInUTC(t *testing.T) {
	c, r := play(t, "info_j")
	_, err := c.Info(t.Context(), test)
	require.NoError(t, err)
	line := strings.Join(r.args, " ")
	for _, want := range []string{"--cluster primary", "--client-mount-timeout 5", "--rados-mon-op-timeout 5", "--rados-osd-op-timeout 15", "info volumes/j"} {
		require.Contains(t, line, want)
	}
	require.NotContains(t, line, "connect-timeout ")
	require.True(t, slices.Contains(r.env, "TZ=UTC"))
}

func TestRecordedJournalPosition(t *testing.T) {
	c, _ := play(t, "journal_status_primary")
	j, err := c.Journal(t.Context(), test)
	require.NoError(t, err)
	_, written, ok := j.Client("")
	require.True(t, ok)
	require.Equal(t, Position{Tag: 2, Entry: 3}, written)
	f := facts{Peer: &Peer{MirrorUUID: "64fa7e07-16eb-4e44-b1f6-f4ca870ff2d6"}}
	f.setJournal(j)
	require.Equal(t, written, *f.Replayed)
	other := facts{Peer: &Peer{MirrorUUID: "somebody else"}}
	other.setJournal(j)
	require.Nil(t, other.Replayed, "another peer's position is not ours")
}

func TestRecordedSnapshots(t *testing.T) {
	c, _ := play(t, "snapls_s_primary")
	snaps, err := c.Snapshots(t.Context(), test)
	require.NoError(t, err)
	var a, b facts
	a.setSnapshots(snaps)
	require.EqualValues(t, 4, a.Newest.ID)
	c, _ = play(t, "snapls_s_secondary")
	snaps, err = c.Snapshots(t.Context(), test)
	require.NoError(t, err)
	b.setSnapshots(snaps)
	require.Nil(t, b.Newest)
	require.EqualValues(t, 4, b.Complete.ID)
	b.Peer = &Peer{MirrorUUID: b.Complete.From}
	require.True(t, b.copyOf(a))
	b.Peer.MirrorUUID = "an earlier life"
	require.False(t, b.copyOf(a))
}

func TestRecordedStatus(t *testing.T) {
	now := time.Date(2026, 11, 20, 20, 19, 9, 0, time.UTC)
	for name, want := range map[string]struct {
		copy  firstCopy
		label string
	}{
		"status_j_primary":   {copyDone, "local image is primary"},
		"status_j_secondary": {copyDone, "replaying"},
		"status_s_secondary": {copyDone, "replaying"},
	} {
		c, _ := play(t, name)
		s, err := c.ImageStatus(t.Context(), test)
		require.NoError(t, err)
		label, _ := s.Replaying()
		require.Equal(t, want.label, label)
		f := facts{Exists: true}
		f.setStatus(s, now)
		require.True(t, f.HasDaemon)
		require.NotNil(t, f.AgeSeconds)
		require.Greater(t, *f.AgeSeconds, 10.0, "an old status is shown with its age")
		require.Contains(t, f.describe(), "s ago")
		require.Equal(t, want.copy, f.firstCopyOf(ModeJournal), name)
	}
}

// Descriptions as the table of states has them, and what they mean for a first copy.
func TestFirstCopyIsProvenOrNot(t *testing.T) {
	for _, c := range []struct {
		f    facts
		want firstCopy
	}{
		{facts{}, copyRunning},
		{facts{Exists: true, State: "down+unknown", Description: "status not found"}, copyUnknown},
		{facts{Exists: true, State: "up+syncing", Description: "bootstrapping, IMAGE_SYNC/COPY_IMAGE 46%"}, copyRunning},
		{facts{Exists: true, State: "up+replaying", Description: `replaying, {"x":1}`, FirstCopy: true}, copyRunning},
		{facts{Exists: true, State: "down+replaying", Description: `replaying, {"x":1}`, Updated: "x"}, copyDone},
		{facts{Exists: true, State: "up+error", Description: "split-brain detected"}, copyDone},
		{facts{Exists: true, State: "up+unknown", Description: "remote image is not primary"}, copyDone},
	} {
		require.Equal(t, c.want, c.f.firstCopyOf(ModeJournal), "%+v", c.f)
	}
	require.Equal(t, copyRunning, facts{Exists: true, Copying: true}.firstCopyOf(ModeSnapshot))
	require.True(t, facts{State: "up+error", Description: "split-brain"}.splitBrain())
	require.True(t, facts{State: "down+error", Description: "split-brain detected"}.splitBrain())
}

// Without --site-name rbd-mirror adds a tx-only row; it is not the peer to pull from.
func TestPeerIsTheOneThatReceives(t *testing.T) {
	p := PoolMirror{Peers: []Peer{{UUID: "1", Direction: "tx-only"}, {UUID: "2", Direction: "rx-tx"}}}
	rx, ok := p.RX()
	require.True(t, ok)
	require.Equal(t, "2", rx.UUID)
	_, ok = PoolMirror{Peers: p.Peers[:1]}.RX()
	require.False(t, ok)
}

func TestSchedulesOfEveryLevel(t *testing.T) {
	rows := `[{"pool":"-","namespace":"-","image":"-","items":[{"interval":"3h","start_time":""}]},
	{"pool":"volumes","namespace":"-","image":"-","items":[{"interval":"2h","start_time":""}]},
	{"pool":"other","namespace":"-","image":"-","items":[{"interval":"9h","start_time":""}]},
	{"pool":"volumes","namespace":"","image":"j","items":[{"interval":"1h","start_time":"14:00:00"}]}]`
	own, inherited, err := NewCLI(Cluster{Name: "p"}, Times{}, answer{stdout: rows}).Schedules(t.Context(), test)
	require.NoError(t, err)
	require.Equal(t, []Schedule{{Interval: "1h", Start: "14:00:00"}}, own)
	require.Len(t, inherited, 2)
}

// Names that rbd would take for something else never reach it.
func TestNames(t *testing.T) {
	for _, bad := range []string{"", "test", "/x", "p/", "p/-x", "-p/x", "p/a@b", "p/a b", "p/a/b"} {
		_, err := ParseImage(bad)
		require.Error(t, err, bad)
	}
	i, err := ParseImage("volumes/test")
	require.NoError(t, err)
	require.Equal(t, "volumes/test@s", i.At("s"))
}

// A frozen program is killed with its whole group, and the error says why.
func TestHangingCallIsKilled(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\nsleep 600 & wait\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rbd"), []byte(script), 0o700))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	begin := time.Now()
	_, err := NewCLI(Cluster{Name: "p"}, Times{Call: 300 * time.Millisecond}, nil).Info(t.Context(), test)
	require.ErrorIs(t, err, ErrTimeout)
	require.Less(t, time.Since(begin), 10*time.Second)
	t.Setenv("PATH", dir+"/nothing")
	_, err = NewCLI(Cluster{Name: "p"}, Times{}, nil).Info(t.Context(), test)
	require.ErrorIs(t, err, ErrNoTool)
}

// Facts survive the way through JSON, as observations take it to plug-ins and back.
func TestFactsSurviveJSON(t *testing.T) {
	age := 3.5
	f := facts{Cluster: "c", Exists: true, Written: &Position{2, 3}, AgeSeconds: &age, Complete: &mirrorSnap{ID: 4, From: "u"}, Meta: map[string]string{"a": "b"}, Held: &Lock{ID: "auto 1"}}
	require.Equal(t, f, fromNative(f.native()))
}

func FuzzDecoders(f *testing.F) {
	files, _ := filepath.Glob("testdata/16.2/*.stdout")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err == nil {
			f.Add(string(b))
		}
	}
	f.Fuzz(func(_ *testing.T, s string) {
		c := NewCLI(Cluster{Name: "c"}, Times{}, answer{stdout: s})
		ctx := context.Background()
		st, _ := c.ImageStatus(ctx, test)
		_, _ = st.Replaying()
		fa := facts{}
		fa.setStatus(st, time.Now())
		j, _ := c.Journal(ctx, test)
		fa.setJournal(j)
		sn, _ := c.Snapshots(ctx, test)
		fa.setSnapshots(sn)
		_ = fa.firstCopyOf(ModeSnapshot)
		_, _ = c.Info(ctx, test)
		_, _ = c.PoolInfo(ctx, "p")
		_, _ = c.Diff(ctx, test, "a", "b")
		_, _ = c.Meta(ctx, test)
		splitStderr(s)
	})
}
