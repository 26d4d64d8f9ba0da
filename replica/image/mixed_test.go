package image

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/rbd/delta"
	"github.com/ddsgo/ddsgo/array/rbd/fakeimage"
	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/run"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/lvm/lvmfake"
	"github.com/ddsgo/ddsgo/replica"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream/session"
	"github.com/ddsgo/ddsgo/transport"
)

func host(t *testing.T, name string, r run.Runner) *replica.Host {
	store, err := state.Open(filepath.Join(t.TempDir(), name))
	require.NoError(t, err)
	return replica.NewHost(store, r, name, slog.New(slog.DiscardHandler))
}

// limited is a connection that breaks after so many bytes to the target.
type limited struct {
	replica.Connection
	left *atomic.Int64
}

func (l limited) Write(p []byte) (int, error) {
	if l.left.Add(-int64(len(p))) < 0 {
		_ = l.Close()
		return 0, os.ErrClosed
	}
	return l.Connection.Write(p)
}

type pipe struct{ *inProcess }

// serve is the owner of logical volumes and files of this process.
func serve(h *replica.Host) replica.Dialer {
	return func(ctx context.Context, _ transport.Target) (replica.Connection, error) {
		near, far := transport.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = replica.Service{Host: h}.Serve(ctx, far, session.Options{}) // what counts is what it left
			_ = far.Close()
		}()
		return pipe{&inProcess{near, done}}, nil
	}
}

// TestImageToFile: the target has a journal, a document and a condition of its own, and a cut transfer
// goes on where it was.
func TestImageToFile(t *testing.T) {
	w := newWorld(t)
	w.src.Resize(srcImage, 2048)
	for i := range 2048 {
		w.src.Write(srcImage, i, byte(i*7+1))
	}
	file := filepath.Join(t.TempDir(), "copy.img")
	require.NoError(t, os.WriteFile(file, bytes.Repeat([]byte{0xee}, 2048*fakeimage.Block), 0o600))
	far := serve(host(t, "far", nil))
	leg := w.leg()
	leg.Device, leg.Rewinds, leg.Dial, leg.Codec = file, false, far, engine.CodecNone
	content := func() []byte {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		return b
	}
	_, err := leg.Full(t.Context(), false, false)
	require.NoError(t, err)
	require.True(t, bytes.Equal(w.src.Content(srcImage, ""), content()))

	for limit := int64(1000); ; limit = limit*3/2 + 300_000 {
		for i := range 700 {
			w.src.Write(srcImage, (i*3)%2048, byte(limit+int64(i)))
		}
		before := content()
		var left atomic.Int64
		left.Store(limit)
		cut := leg
		cut.Dial = func(ctx context.Context, tg transport.Target) (replica.Connection, error) {
			c, err := far(ctx, tg)
			return limited{c, &left}, err
		}
		_, err := cut.Sync(t.Context(), false)
		if err == nil {
			require.Greater(t, limit, int64(1_000_000), "it was cut in the middle of the data")
			break
		}
		require.True(t, bytes.Equal(before, content()), "a cut transfer touches nothing")
		_, err = leg.Sync(t.Context(), false)
		require.NoError(t, err)
		require.True(t, bytes.Equal(w.src.Content(srcImage, ""), content()))
	}
	o, err := (&Driver{Leg: leg}).Observe(t.Context())
	require.NoError(t, err)
	require.Equal(t, array.Running, o.Replication)
	require.Zero(t, *o.BytesLeft)

	w.src.Resize(srcImage, 2049) // the file is too small now
	_, err = leg.Sync(t.Context(), false)
	w.refused(err, failure.CodeRefused, "too small")
}

const (
	lvPath  = "/dev/vg0/data"
	lvBytes = 1 << 20
)

// lvWorld is a logical volume whose copy is an image.
type lvWorld struct {
	*world
	m    *lvmfake.Machine
	host *replica.Host
}

func newLVWorld(t *testing.T) *lvWorld {
	w := &lvWorld{world: newWorld(t), m: lvmfake.New()}
	w.m.AddVG("vg0", 64<<20)
	w.m.AddLV("vg0", "data", lvBytes)
	w.host = host(t, "near", w.m)
	lv, err := (&lvm.LVM{Runner: w.m}).Find(t.Context(), lvPath)
	require.NoError(t, err)
	w.host.Identify = func(string) (state.Identity, error) { return state.LV(lv.UUID), nil }
	w.host.Holders = func(string) ([]blockdev.Holder, error) { return nil, nil }
	w.host.OpenDevice = func(path string, _ blockdev.Options) (blockdev.Device, error) { return w.m.Open(path) }
	w.host.Now = w.now
	w.write(0, lvBytes/2)
	return w
}

func (w *lvWorld) write(off, n int64) {
	d, err := w.m.Open(lvPath)
	require.NoError(w.t, err)
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.rng.Uint32())
	}
	_, err = d.WriteAt(b, off)
	require.NoError(w.t, err)
	require.NoError(w.t, d.Sync())
	require.NoError(w.t, d.Close())
}

func (w *lvWorld) content() []byte {
	d, err := w.m.Open(lvPath)
	require.NoError(w.t, err)
	defer d.Close()
	b := make([]byte, lvBytes)
	_, err = d.ReadAt(b, 0)
	require.NoError(w.t, err)
	return b
}

func (w *lvWorld) driver() *replica.Driver {
	c := w.target()
	return &replica.Driver{Host: w.host, Opt: replica.SyncOptions{Dial: c.Dial},
		Leg: replica.Leg{Resource: "data", Source: lvPath, Device: c.String(), SnapSize: func(o int64) int64 { return o }}}
}

func (w *lvWorld) run(v array.Verb) error {
	d := w.driver()
	_, err := array.Run(w.t.Context(), d, array.Goal{Verb: v}, array.Options{Resource: "data"})
	return err
}

// TestLogicalVolumeToImage: the source of package replica and the target of this one, with imports
// that die, break and resume.
func TestLogicalVolumeToImage(t *testing.T) {
	for n := range 12 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := newLVWorld(t)
			d := w.driver()
			_, err := d.Host.Full(t.Context(), d.Leg, d.Opt)
			require.NoError(t, err)
			w.equal(w.content())
			w.write(4096, 8192)
			require.NoError(t, w.run(array.Update))
			w.equal(w.content())
			w.write(100<<10, 64<<10)
			w.write(700<<10, 12<<10)
			before := w.dst.Content(dstImage, "")
			w.dst.CutAt(n+1, []fakeimage.Cut{fakeimage.Before, fakeimage.Middle, fakeimage.After}[n%3])
			err = w.run(array.Update)
			if w.dst.Revive() {
				require.Error(t, err)
			}
			r, err := w.target().Inspect(t.Context())
			require.NoError(t, err)
			if r.Condition == "clean" {
				held := w.dst.Content(dstImage, delta.SnapshotName(r.Generation))
				require.True(t, bytes.Equal(held, before) || bytes.Equal(held, w.content()))
			}
			if n%2 == 1 { // the superset rule: journal lost, the source goes on
				w.elsewhere()
			}
			w.write(300<<10, 4096)
			require.NoError(t, w.run(array.Update))
			w.equal(w.content())

			require.NoError(t, w.run(array.Break))
			w.refused(w.run(array.Update), failure.CodeRefused, "held")
			require.NoError(t, w.run(array.Resume))
			require.NoError(t, w.run(array.Update))
			w.equal(w.content())
		})
	}
}
