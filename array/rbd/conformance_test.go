package rbd_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/arraytest"
	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/array/rbd/fakerbd"
)

// fakeLab is the fake under the conformance suite.
type fakeLab struct {
	world  *fakerbd.World
	config rbd.Config
	writes int
}

func (l *fakeLab) cluster(site string) string {
	if site == site2 {
		return fakerbd.Secondary
	}
	return fakerbd.Primary
}

func (l *fakeLab) Open(_ context.Context, site string) (array.Driver, error) {
	cfg := l.config
	cfg.LocalSite = site
	return rbd.New(cfg)
}

func (l *fakeLab) SiteDown(_ context.Context, site string) error {
	l.world.SetDown(l.cluster(site), true)
	return nil
}

func (l *fakeLab) SiteUp(_ context.Context, site string) error {
	l.world.SetDown(l.cluster(site), false)
	return nil
}

func (l *fakeLab) LinkDown(context.Context) error { l.world.SetLink(false); return nil }
func (l *fakeLab) LinkUp(context.Context) error   { l.world.SetLink(true); return nil }

func (l *fakeLab) Read(_ context.Context, site string) (string, error) {
	return string(l.world.Content(l.cluster(site), pool, name)), nil
}

func (l *fakeLab) Write(_ context.Context, site string) error {
	l.writes++
	if err := l.world.Write(l.cluster(site), pool, name, fmt.Appendf(nil, "write %d at %s", l.writes, site)); err != nil {
		return arraytest.ErrReadOnly
	}
	return nil
}

// Foreign: what stops replication behind our back is somebody at the admin socket or the schedules.
func (l *fakeLab) Foreign(ctx context.Context, verb string) error {
	if l.config.Mode != rbd.ModeJournal {
		return arraytest.ErrLeftOut // without schedules of its own there is nothing to take away
	}
	word := map[string]string{"break": "stop", "resume": "start"}[verb]
	for _, c := range []string{fakerbd.Primary, fakerbd.Secondary} {
		if l.world.IsPrimary(c, pool, name) {
			continue
		}
		if err := l.world.Socket(ctx, c, word, pool+"/"+name); err != nil && !strings.Contains(err.Error(), "Invalid command") { // unknown to the daemon
			return err
		}
	}
	return nil
}

func (l *fakeLab) Sleep(_ context.Context, d time.Duration) error {
	time.Sleep(d) // inside a synctest bubble
	return nil
}

// LifeCycle: the resource is made by ddsgo, so delete may remove the image itself as well.
func (l *fakeLab) LifeCycle() arraytest.LifeCycle {
	return arraytest.LifeCycle{
		Create: array.Goal{Verb: array.Create, Params: map[string]string{rbd.ParamSize: "64M"}},
		Delete: array.Goal{Verb: array.Delete, Params: map[string]string{rbd.ParamDeletePeerCopy: "yes", rbd.ParamDeleteImage: "yes"}},
	}
}

// TestConformance runs the suite that every driver has to pass, in full.
func TestConformance(t *testing.T) {
	for _, mode := range []string{rbd.ModeJournal, rbd.ModeSnapshot} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, mode)
				b.must(array.Goal{Verb: array.Create, Params: map[string]string{rbd.ParamSize: "64M"}})
				b.must(array.Goal{Verb: array.Update})
				cfg := rbd.Config{
					Name: "NAME", Image: rbd.Image{Pool: pool, Name: name}, Mode: mode, Runner: b.world,
					Sites: [2]rbd.Site{
						{Name: site1, Cluster: rbd.Cluster{Name: fakerbd.Primary, MirrorSocket: fakerbd.Primary}},
						{Name: site2, Cluster: rbd.Cluster{Name: fakerbd.Secondary, MirrorSocket: fakerbd.Secondary}},
					},
				}
				lab := &fakeLab{world: b.world, config: cfg}
				rep, err := arraytest.Run(t.Context(), lab, arraytest.Options{Quick: testing.Short(), Timeout: 10 * time.Minute, Only: os.Getenv("RBD_CONFORMANCE")})
				for _, r := range rep.Results {
					switch r.Outcome {
					case arraytest.Failed:
						t.Errorf("%s: %s", r.Case, r.Detail)
					case arraytest.LeftOut:
						t.Logf("left out: %s: %s", r.Case, r.Detail)
					}
				}
				require.NoError(t, err)
				t.Logf("%d passed, %d failed, %d left out, %d verbs", rep.Count(arraytest.Passed), rep.Count(arraytest.Failed), rep.Count(arraytest.LeftOut), rep.Verbs)
			})
		})
	}
}
