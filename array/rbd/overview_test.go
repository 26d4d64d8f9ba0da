package rbd_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/array/rbd/fakerbd"
)

const manyImages = 1000

// poolOf is a pool with so many mirrored images, on the fake.
func poolOf(tb testing.TB, images int) (*fakerbd.World, [2]rbd.Site, [2]*rbd.CLI) {
	tb.Helper()
	w := fakerbd.New(pool)
	w.Connect(pool)
	cli := func(c string) *rbd.CLI { return rbd.NewCLI(rbd.Cluster{Name: c}, rbd.Times{}, w) }
	clis := [2]*rbd.CLI{cli(fakerbd.Primary), cli(fakerbd.Secondary)}
	for i := range images {
		n := fmt.Sprintf("image-%04d", i)
		w.Make(fakerbd.Primary, pool, n, []byte("x"))
		require.NoError(tb, rbd.CallForTest(context.Background(), clis[0], "mirror", "image", "enable", pool+"/"+n, "snapshot"))
	}
	return w, [2]rbd.Site{{Name: site1}, {Name: site2}}, clis
}

// However many images, one call for each cluster, or two with their sizes and locks.
func TestStatusOfAThousandImagesIsTwoCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, sites, clis := poolOf(t, manyImages)
		look := func(o rbd.OverviewOptions) ([]rbd.ImageSummary, int, error) {
			before := len(w.Calls())
			rows, err := rbd.Overview(t.Context(), pool, sites, clis, o)
			return rows, len(w.Calls()) - before, err
		}
		rows, calls, err := look(rbd.OverviewOptions{})
		require.NoError(t, err)
		require.Len(t, rows, manyImages)
		require.Equal(t, 2, calls)
		rows, calls, err = look(rbd.OverviewOptions{List: true})
		require.NoError(t, err)
		require.Len(t, rows, manyImages)
		require.Equal(t, 4, calls)
		require.Equal(t, "excl", rows[7].Sides[site2].Lock, "rbd-mirror of the copy's cluster holds its lock")
		require.Equal(t, "none", rows[7].Sides[site1].Lock)

		w.SetDown(fakerbd.Secondary, true)
		rows, _, err = look(rbd.OverviewOptions{})
		require.ErrorIs(t, err, rbd.ErrUnreachable)
		require.Len(t, rows, manyImages)
		require.True(t, strings.HasPrefix(err.Error(), site2))
		require.Equal(t, rbd.VerdictUnknown, rows[0].Verdict)
	})
}

func BenchmarkStatusOfAThousandImages(b *testing.B) {
	w, sites, clis := poolOf(b, manyImages)
	before := len(w.Calls())
	b.ResetTimer()
	for b.Loop() {
		rows, err := rbd.Overview(b.Context(), pool, sites, clis, rbd.OverviewOptions{})
		require.NoError(b, err)
		require.Len(b, rows, manyImages)
	}
	b.ReportMetric(float64(len(w.Calls())-before)/float64(b.N), "calls/op")
	b.ReportMetric(manyImages, "images")
}

// The verdict names what is wrong with each image, from the reports of both sides.
func TestVerdicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, rbd.ModeJournal)
		b.ready("x")
		b.world.Make(fakerbd.Primary, pool, "plain", []byte("x"))
		cli := func(c string) *rbd.CLI { return rbd.NewCLI(rbd.Cluster{Name: c}, rbd.Times{}, b.world) }
		verdict := func(image string) rbd.ImageSummary {
			t.Helper()
			rows, _ := rbd.Overview(t.Context(), pool, [2]rbd.Site{{Name: site1}, {Name: site2}}, [2]*rbd.CLI{cli(fakerbd.Primary), cli(fakerbd.Secondary)}, rbd.OverviewOptions{List: true})
			for _, r := range rows {
				if r.Image == image {
					return r
				}
			}
			t.Fatalf("no row of %s in %+v", image, rows)
			return rbd.ImageSummary{}
		}
		settle := func() { // until both daemons have reported
			for range 60 {
				b.observe()
			}
		}
		settle()
		got := verdict(name)
		require.Equal(t, rbd.VerdictOK, got.Verdict, "%+v", got)
		require.Equal(t, []string{site1}, got.Primary)
		require.Equal(t, rbd.VerdictNone, verdict("plain").Verdict)

		b.must(array.Goal{Verb: array.Break})
		settle()
		require.Equal(t, rbd.VerdictWarn, verdict(name).Verdict, "stopped at the admin socket")
		b.must(array.Goal{Verb: array.Resume})

		b.world.SetDaemon(fakerbd.Secondary, false)
		got = verdict(name)
		require.Equal(t, rbd.VerdictWarn, got.Verdict)
		require.Contains(t, strings.Join(got.Why, ";"), "no live rbd-mirror at site2")
		time.Sleep(10 * time.Minute)
		require.Contains(t, strings.Join(verdict(name).Why, ";"), "s old")
		b.world.SetDaemon(fakerbd.Secondary, true)
		settle()

		b.write(fakerbd.Primary, "unsent")
		b.world.SetDown(fakerbd.Primary, true)
		b.must(array.Goal{Verb: array.Failover, Site: site2})
		require.Equal(t, rbd.VerdictUnknown, verdict(name).Verdict)
		b.world.SetDown(fakerbd.Primary, false)
		settle()
		got = verdict(name)
		require.Equal(t, rbd.VerdictError, got.Verdict)
		require.Equal(t, []string{site1, site2}, got.Primary)
	})
}
