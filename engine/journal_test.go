package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/blockdev/fault"
	"github.com/ddsgo/ddsgo/blockdev/mem"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/journal/journaltest"
	"github.com/ddsgo/ddsgo/stream"
)

// target is the least that stands around a journal: the device, the directory, and a mark
// that says applying.
type target struct {
	fs  *journaltest.FS
	dev *mem.Device
}

// update is what a target does with a delta: finish what is committed, else receive,
// commit, apply, remove.
func (t *target) update(dev blockdev.Device, send func(*stream.Cursor) io.Reader, head stream.Header) error {
	ctx := context.Background()
	dir, err := journal.Open(t.fs, "/var/j")
	if err != nil {
		return err
	}
	tx, err := dir.Pending()
	if errors.Is(err, journal.ErrNotFound) {
		tx, err = t.receive(ctx, dir, send, head)
	}
	if err != nil {
		return err
	}
	if err := engine.KeepUndo(ctx, dir.History(), "1", tx, []string{"vol"}, dev, engine.ExtractOptions{Workers: 1}); err != nil {
		return err
	}
	if _, err := engine.Replay(ctx, tx, "vol", dev, engine.MergeOptions{Workers: 1}); err != nil {
		return err
	}
	return dir.Remove()
}

func (t *target) receive(ctx context.Context, dir *journal.Dir, send func(*stream.Cursor) io.Reader, head stream.Header) (*journal.Transaction, error) {
	at, err := engine.ResumePoint(ctx, dir, "vol", head, nil)
	if err != nil {
		return nil, err
	}
	opt := engine.SpoolOptions{Target: "/dev/t", Resume: at, Workers: 1}
	if at != nil {
		opt.Head = &head
	}
	_, m, err := engine.ReceiveSpool(ctx, dir, "vol", send(at), opt)
	if err != nil {
		return nil, err
	}
	return dir.Commit(time.Unix(1e9, 0), m)
}

// TestJournalCrashMatrix fails every operation of the file system and of the device in turn,
// crashes, and runs again. After each crash the target equals N or N+1, or a committed
// journal says that it is being written; after the second run it equals N+1.
func TestJournalCrashMatrix(t *testing.T) {
	old, v := change(21, 1<<20, 4096, 50)
	head, err := engine.CompleteHeader(v, header(v, 16<<10))
	require.NoError(t, err)
	sent := int64(0)
	send := func(at *stream.Cursor) io.Reader {
		var b bytes.Buffer
		_, err := engine.Extract(t.Context(), &b, v, engine.ExtractOptions{Header: head, Codec: engine.CodecS2, Resume: at})
		require.NoError(t, err)
		sent += int64(b.Len())
		return &b
	}
	for _, where := range []string{"file system", "device"} {
		for _, stays := range []bool{false, true} {
			points := 0
			for n := 1; ; n++ {
				tg := &target{fs: journaltest.New(64 << 20), dev: mem.NewFrom("t", bytes.Clone(old))}
				dev := fault.New(tg.dev)
				if where == "device" {
					dev = fault.New(tg.dev, fault.Fault{Op: fault.AnyChange, Nth: n, Stays: stays, Mode: fault.Mode(n % 3)})
				} else {
					tg.fs.FailAt(n, stays)
				}
				err := tg.update(dev, send, head)
				if dev.Injected()+tg.fs.Injected() == 0 {
					require.NoError(t, err)
					require.True(t, bytes.Equal(v.content, tg.dev.Content()))
					break
				}
				points++
				for seed := range uint64(3) {
					checkCrash(t, fmt.Sprintf("%s, operation %d, stays %v, seed %d", where, n, stays, seed), tg, seed, old, v, send, head)
				}
			}
			t.Logf("%s, stays %v: %d points", where, stays, points)
			require.Greater(t, points, 20)
		}
	}
}

func checkCrash(t *testing.T, name string, tg *target, seed uint64, old []byte, v *volume, send func(*stream.Cursor) io.Reader, head stream.Header) {
	rng := rand.New(rand.NewPCG(seed, 7))
	after := &target{fs: tg.fs.CrashClone(rng), dev: tg.dev.CrashClone(rng, float64(seed)/2)}
	dir, err := journal.Open(after.fs, "/var/j")
	require.NoError(t, err, name)
	if _, err := dir.Pending(); errors.Is(err, journal.ErrNotFound) {
		got := after.dev.Content()
		require.True(t, bytes.Equal(old, got) || bytes.Equal(v.content, got), "%s: a mixture without a journal", name)
	} else {
		require.NoError(t, err, name)
	}
	require.NoError(t, after.update(after.dev, send, head), name)
	require.True(t, bytes.Equal(v.content, after.dev.Content()), name)
	_, err = dir.Pending()
	require.ErrorIs(t, err, journal.ErrNotFound, name)
	f, err := dir.History().Open("1")
	require.NoError(t, err, name)
	_, err = engine.Apply(t.Context(), after.dev, f, engine.MergeOptions{})
	require.NoError(t, err, name)
	require.True(t, bytes.Equal(old, after.dev.Content()), "%s: the undo delta leads back", name)
}

// TestCutTransfersSendLittleTwice: over any number of cuts the bytes sent stay within 1.05 x
// the delta plus one frame for each cut.
func TestCutTransfersSendLittleTwice(t *testing.T) {
	_, v := change(22, 8<<20, 4096, 1500)
	head, err := engine.CompleteHeader(v, header(v, 64<<10))
	require.NoError(t, err)
	dir, err := journal.Open(journal.OS{}, t.TempDir())
	require.NoError(t, err)
	var whole bytes.Buffer
	_, err = engine.Extract(t.Context(), &whole, v, engine.ExtractOptions{Header: head, Codec: engine.CodecS2})
	require.NoError(t, err)
	sent, cuts := int64(0), 0
	for ; ; cuts++ {
		require.Less(t, cuts, 100)
		at, err := engine.ResumePoint(t.Context(), dir, "vol", head, nil)
		require.NoError(t, err)
		var part bytes.Buffer
		_, err = engine.Extract(t.Context(), &part, v, engine.ExtractOptions{Header: head, Codec: engine.CodecS2, Resume: at})
		require.NoError(t, err)
		r := io.Reader(&part)
		if cut := int64(200 << 10); int64(part.Len()) > cut {
			r = io.LimitReader(r, cut)
		}
		n := &counter{r: r}
		opt := engine.SpoolOptions{Resume: at}
		if at != nil {
			opt.Head = &head
		}
		_, m, err := engine.ReceiveSpool(t.Context(), dir, "vol", n, opt)
		sent += n.n
		if err == nil {
			require.EqualValues(t, whole.Len(), m.Bytes)
			break
		}
		require.ErrorIs(t, err, stream.ErrTruncated)
	}
	require.Greater(t, cuts, 5)
	require.Less(t, float64(sent), float64(whole.Len())*1.05+float64(cuts)*float64(70<<10))
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func TestSpoolWithoutSpace(t *testing.T) {
	old, v := change(23, 1<<20, 4096, 200)
	head, err := engine.CompleteHeader(v, header(v, 0))
	require.NoError(t, err)
	send := func(at *stream.Cursor) io.Reader {
		var b bytes.Buffer
		_, err := engine.Extract(t.Context(), &b, v, engine.ExtractOptions{Header: head, Codec: engine.CodecNone, Resume: at})
		require.NoError(t, err)
		return &b
	}
	tg := &target{fs: journaltest.New(100 << 10), dev: mem.NewFrom("t", bytes.Clone(old))}
	err = tg.update(tg.dev, send, head)
	var space *journal.SpaceError
	require.ErrorAs(t, err, &space)
	require.Equal(t, journal.Bound(head), space.Need)
	require.True(t, bytes.Equal(old, tg.dev.Content()))

	dir, err := journal.Open(journaltest.New(100<<10), "/j")
	require.NoError(t, err)
	_, _, err = engine.ReceiveSpool(t.Context(), dir, "vol", send(nil), engine.SpoolOptions{Need: 50 << 10})
	require.ErrorIs(t, err, journal.ErrQuota, "more than was announced")
}
