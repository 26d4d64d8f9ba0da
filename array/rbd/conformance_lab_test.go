//go:build lab

package rbd_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/arraytest"
	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/lab/ceph"
)

// realLab is two real clusters under the conformance suite.
type realLab struct {
	p      *pair
	config rbd.Config
	down   map[string]bool // sites
	cut    bool            // both rbd-mirror daemons are stopped
}

func (l *realLab) cluster(site string) *ceph.Cluster {
	if site == away {
		return l.p.lab.Secondary
	}
	return l.p.lab.Primary
}

func (l *realLab) Open(_ context.Context, site string) (array.Driver, error) {
	cfg := l.config
	cfg.LocalSite = site
	return rbd.New(cfg)
}

// SiteDown is a power cut: every daemon of the cluster, its rbd-mirror included.
func (l *realLab) SiteDown(_ context.Context, site string) error {
	l.cluster(site).Kill()
	l.down[site] = true
	return nil
}

// SiteUp brings the cluster back, and does what an administrator has to: the other side's rbd-mirror
// may hang on what died, or be blocklisted, so both are started afresh. The watches of killed clients
// are remembered for 30 s.
func (l *realLab) SiteUp(ctx context.Context, site string) error {
	if !l.down[site] {
		return nil
	}
	delete(l.down, site)
	if err := l.cluster(site).Start(ctx); err != nil {
		return err
	}
	for _, c := range l.p.lab.Clusters() {
		c.Kill(ceph.Mirror)
	}
	if err := l.mirrors(); err != nil {
		return err
	}
	return l.until(ctx, "both sides to answer, and the watches of the dead to end", func(o array.Observation) bool {
		return (o.AllReachable() || len(l.down) > 0) && !slices.ContainsFunc(o.Sides, func(s array.Side) bool { return s.Writers == array.Yes })
	})
}

// mirrors starts the rbd-mirror daemons of the clusters that live, unless the link is cut.
func (l *realLab) mirrors() error {
	for _, site := range []string{home, away} {
		if l.down[site] || l.cut {
			continue
		}
		if err := l.cluster(site).StartMirror(); err != nil {
			return err
		}
	}
	return nil
}

func (l *realLab) until(ctx context.Context, what string, done func(array.Observation) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		o, err := l.p.drv.Observe(ctx)
		if err == nil && done(o) {
			return nil
		}
		if err := l.Sleep(ctx, time.Second); err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
	}
}

// LinkDown takes away what carries data: the daemons. Both clusters still answer.
func (l *realLab) LinkDown(context.Context) error {
	l.cut = true
	for _, c := range l.p.lab.Clusters() {
		c.Stop(ceph.Mirror)
	}
	return nil
}

func (l *realLab) LinkUp(context.Context) error {
	if !l.cut {
		return nil
	}
	l.cut = false
	return l.mirrors()
}

func (l *realLab) Read(_ context.Context, site string) (string, error) {
	return l.p.trySum(l.cluster(site))
}

// Write changes one random block, through a diff stream: what `rbd bench` writes is not always new.
func (l *realLab) Write(ctx context.Context, site string) error {
	const size, block = conformanceMiB << 20, 4096
	data := make([]byte, block+8)
	_, _ = rand.Read(data)
	offset := binary.LittleEndian.Uint64(data[block:]) % (size / block) * block
	var s bytes.Buffer
	s.WriteString("rbd diff v1\ns")
	for _, v := range []any{uint64(size), byte('w'), offset, uint64(block), data[:block], byte('e')} {
		if err := binary.Write(&s, binary.LittleEndian, v); err != nil {
			return err
		}
	}
	err := l.cluster(site).ImportDiff(ctx, &s, l.p.spec())
	switch syscall.Errno(max(ceph.ExitCode(err), 0)) {
	case syscall.EROFS, syscall.EPERM:
		return arraytest.ErrReadOnly
	}
	return err
}

// Foreign stops or starts the image at the admin socket of the side that receives, in journal mode.
func (l *realLab) Foreign(ctx context.Context, verb string) error {
	if l.config.Mode != rbd.ModeJournal {
		return arraytest.ErrLeftOut // without schedules of its own there is nothing to take away
	}
	o, err := l.p.drv.Observe(ctx)
	if err != nil {
		return err
	}
	word := map[string]string{"break": "stop", "resume": "start"}[verb]
	for _, s := range o.Sides {
		if s.Role != array.RoleSecondary {
			continue
		}
		// A daemon that does not run, or has not taken the image up, is as good as stopped.
		_, err := l.p.lab.Output(ctx, "ceph", "--admin-daemon", l.cluster(s.Site).MirrorSocket, "rbd", "mirror", word, l.p.spec())
		if code := ceph.ExitCode(err); err != nil && code != int(syscall.EINVAL) {
			return err
		}
	}
	return nil
}

// LifeCycle: the image is made by ddsgo, so delete may remove it as well.
func (l *realLab) LifeCycle() arraytest.LifeCycle {
	return arraytest.LifeCycle{
		Create: conformanceCreate(),
		Delete: array.Goal{Verb: array.Delete, Params: map[string]string{rbd.ParamDeletePeerCopy: "yes", rbd.ParamDeleteImage: "yes"}},
	}
}

func conformanceCreate() array.Goal {
	return array.Goal{Verb: array.Create, Params: map[string]string{rbd.ParamSize: fmt.Sprintf("%dM", conformanceMiB)}}
}

func (l *realLab) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// conformanceAge is the age of journal commits in this lab: TestStory waits for the 5 s of real ones.
const conformanceAge = time.Second

// conformanceMiB is the size of the image: small, because each case reads it several times.
const conformanceMiB = 4

// conformanceSubset are the cases of every CI run, by mode. RBD_CONFORMANCE=TEXT picks others by a
// part of their name; without -short all are run, which takes hours.
var conformanceSubset = map[string][]string{
	rbd.ModeJournal: {
		"normal: break NAME",
		"normal: swap NAME --site site2 --writers-stopped",
	},
	rbd.ModeSnapshot: {
		"normal: update NAME",
		"normal: swap NAME --site site2 --writers-stopped",
		"normal: swap NAME --site site2 --writers-stopped, stopped after step 2, run again at site2",
	},
}

// TestConformanceOnRealClusters runs the suite that every driver has to pass against Ceph itself. On
// the fake (TestConformance) all of it is run every time.
func TestConformanceOnRealClusters(t *testing.T) {
	lab := newLab(t, ceph.Options{NoMirror: true, CommitAge: conformanceAge})
	require.NoError(t, lab.StartMirrors())
	eachMode(t, func(t *testing.T, mode string) {
		p := newPair(t, lab, "conf-"+mode, mode, func(c *rbd.Config) { c.CommitAge = conformanceAge })
		p.must(conformanceCreate())
		p.must(array.Goal{Verb: array.Update})
		l := &realLab{p: p, down: map[string]bool{}, config: p.config}
		l.config.Name = "NAME"
		o := arraytest.Options{Quick: true, Timeout: 5 * time.Minute, Log: newStopwatch(t)}
		only := os.Getenv("RBD_CONFORMANCE")
		switch {
		case only != "":
			o.Pick = func(name string) bool { return strings.Contains(name, only) }
		case testing.Short():
			t.Logf("the cases of %s mode that are run with -short; make lab-rbd-full runs all", mode)
			o.Quick, o.Pick = false, func(name string) bool { return slices.Contains(conformanceSubset[mode], name) }
		}
		rep, err := arraytest.Run(t.Context(), l, o)
		for _, r := range rep.Results {
			t.Logf("%s: %s %s", r.Outcome, r.Case, r.Detail)
			if r.Outcome == arraytest.Failed {
				t.Fail()
			}
		}
		require.NoError(t, errors.Join(err, l.SiteUp(t.Context(), home), l.SiteUp(t.Context(), away), l.LinkUp(t.Context())))
		require.NotZero(t, rep.Count(arraytest.Passed))
		if testing.Short() && only == "" {
			require.Equal(t, len(conformanceSubset[mode]), rep.Count(arraytest.Passed), "a case of the subset has another name now")
		}
		t.Logf("%d passed, %d failed, %d left out, %d verbs", rep.Count(arraytest.Passed), rep.Count(arraytest.Failed), rep.Count(arraytest.LeftOut), rep.Verbs)
	})
}

// newStopwatch logs each case as it begins, with the time that the run has taken.
func newStopwatch(t *testing.T) func(string) {
	begin := time.Now()
	return func(text string) { t.Logf("  %5.0f s: %s", time.Since(begin).Seconds(), text) }
}
