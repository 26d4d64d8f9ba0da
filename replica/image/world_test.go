package image

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/array/rbd/delta"
	"github.com/ddsgo/ddsgo/array/rbd/fakeimage"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/replica"
)

const (
	srcImage = "p/src"
	dstImage = "p/dst"
	blocks   = 64
)

// world is two clusters with an image each; the second one's is made by the first copy.
type world struct {
	t        testing.TB
	src, dst *fakeimage.World
	dir      string
	keep     int
	clock    time.Time
	rng      *rand.Rand
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, src: fakeimage.New(1, "p"), dst: fakeimage.New(2, "p"), dir: t.TempDir(), keep: 3,
		clock: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), rng: rand.New(rand.NewPCG(1, 2))}
	w.src.Create(srcImage, blocks)
	for i := range blocks / 2 {
		w.src.Write(srcImage, i, byte(i+1))
	}
	return w
}

func (w *world) now() time.Time { w.clock = w.clock.Add(time.Second); return w.clock }

func (w *world) target() *Copy {
	img, err := rbd.ParseImage(dstImage)
	require.NoError(w.t, err)
	return &Copy{End: End{rbd.NewCLI(rbd.Cluster{Name: "b"}, rbd.Times{}, w.dst), img}, StateDir: w.dir + "/dst", Keep: w.keep,
		Host: "here", Log: slog.New(slog.DiscardHandler), Now: w.now, Journal: journal.OS{}}
}

func (w *world) leg() Leg {
	img, err := rbd.ParseImage(srcImage)
	require.NoError(w.t, err)
	c := w.target()
	return Leg{End: End{rbd.NewCLI(rbd.Cluster{Name: "a"}, rbd.Times{}, w.src), img}, Resource: "data", Device: c.String(), Rewinds: true,
		Dial: c.Dial, StateDir: w.dir + "/src", Host: "here", Now: w.now}
}

func (w *world) sync() (report.Sync, error) { return w.leg().Sync(w.t.Context(), false) }
func (w *world) full() (report.Sync, error) { return w.leg().Full(w.t.Context(), false, false) }

// change writes, discards, and writes what the next change may discard.
func (w *world) change() {
	n := len(w.src.Content(srcImage, "")) / fakeimage.Block
	for range 12 {
		w.src.Write(srcImage, w.rng.IntN(n), byte(w.rng.IntN(4)*w.rng.IntN(200)))
	}
}

// head is what the target's newest generation holds; HEAD must be the same.
func (w *world) equal(want []byte) {
	w.t.Helper()
	r, err := w.target().Inspect(context.Background())
	require.NoError(w.t, err)
	require.Equal(w.t, "clean", r.Condition, r.Detail)
	require.True(w.t, bytes.Equal(want, w.dst.Content(dstImage, delta.SnapshotName(r.Generation))), "the generation's snapshot is another content")
	require.True(w.t, bytes.Equal(want, w.dst.Content(dstImage, "")), "HEAD is another content")
}

func (w *world) refused(err error, code int, words string) {
	w.t.Helper()
	require.Error(w.t, err)
	got, ok := failure.CodeOf(err)
	require.True(w.t, ok, "%v", err)
	require.Equal(w.t, code, got, "%v", err)
	require.ErrorContains(w.t, err, words)
}

// status is the observation of the driver.
func (w *world) status() array.Observation {
	o, err := (&Driver{Leg: w.leg()}).Observe(w.t.Context())
	require.NoError(w.t, err)
	return o
}

var _ replica.Dialer = (*Copy)(nil).Dial
