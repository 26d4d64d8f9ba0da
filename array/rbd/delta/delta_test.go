package delta

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/blockdev/mem"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/stream"
)

var img = rbd.Image{Pool: "p", Name: "i"}

// extract runs the engine over a source, with several workers.
func extract(m *memory, from, to string, t require.TestingT) ([]byte, *Source, error) {
	ctx := contextOf(t)
	src, err := Open(ctx, m.cli(), img, from, to)
	if err != nil {
		return nil, nil, err
	}
	defer src.Close()
	kind := stream.KindDelta
	if src.Full {
		kind = stream.KindFull
	}
	var b bytes.Buffer
	h := stream.Header{Kind: kind, FrameSize: 64 << 10, VolumeSize: src.Size, From: src.From, To: src.To, Source: "rbd:p/i"}
	_, err = engine.Extract(ctx, &b, src, engine.ExtractOptions{Header: h, Workers: 3, Readers: 4, BeforeTrailer: src.Finish})
	return b.Bytes(), src, err
}

// TestLegsCarryEveryPointInTime: rbd -> device and rbd -> rbd, over random histories with shrinks and
// growth, give the content of each snapshot.
func TestLegsCarryEveryPointInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src, dst := newMemory(64), newMemory(0)
		dst.absent = true
		last := ""
		for n := range rapid.IntRange(1, 4).Draw(t, "snapshots") {
			for range rapid.IntRange(0, 40).Draw(t, "writes") {
				i := rapid.IntRange(0, len(src.head)-1).Draw(t, "block")
				if rapid.Bool().Draw(t, "discard") {
					src.head[i] = nil
				} else {
					src.write(i, bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, block))
				}
			}
			if size := rapid.IntRange(16, 96).Draw(t, "size"); size < len(src.head) {
				src.head = src.head[:size]
			} else {
				src.head = append(src.head, make([][]byte, size-len(src.head))...)
			}
			name := string(rune('a' + n))
			src.snapshot(name)
			delta, s, err := extract(src, last, name, t)
			require.NoError(t, err)
			want := flat(src.snaps[name])
			if last == "" { // onto a device that holds something else
				dev := mem.New("d", int64(len(want)))
				_, err = dev.WriteAt(bytes.Repeat([]byte{0xee}, len(want)), 0)
				require.NoError(t, err)
				_, err = engine.Merge(contextOf(t), dev, bytes.NewReader(delta), engine.MergeOptions{})
				require.NoError(t, err)
				got := make([]byte, len(want))
				_, err = dev.ReadAt(got, 0)
				require.NoError(t, err)
				require.True(t, bytes.Equal(want, got))
			}
			require.NoError(t, merge(t, dst, delta, false))
			require.True(t, bytes.Equal(want, flat(dst.head)))
			require.True(t, bytes.Equal(want, flat(dst.snaps[SnapshotName(s.To)])), "readers take the snapshot")
			require.NoError(t, merge(t, dst, delta, false), "applied again: nothing to do")
			last = name
		}
	})
}

// merge applies a delta as the command does.
func merge(t require.TestingT, dst *memory, delta []byte, cut bool) error {
	ctx := contextOf(t)
	in, err := engine.Peek(ctx, bytes.NewReader(delta))
	if err != nil {
		return err
	}
	h := in.Header
	in.Close()
	target, err := OpenTarget(ctx, dst.cli(), img)
	if err != nil {
		return err
	}
	a, err := target.Check(ctx, h, false, cut)
	if err != nil || a.Applied {
		return err
	}
	if a.Create {
		if err := target.Make(ctx, h.VolumeSize); err != nil {
			return err
		}
	}
	dev, err := target.Import(ctx, a, h.VolumeSize)
	if err != nil {
		return err
	}
	_, err = engine.Apply(ctx, dev, bytes.NewReader(delta), engine.MergeOptions{})
	if closeErr := dev.Close(); err == nil {
		err = closeErr
	}
	return err
}

// TestSpoiledExportsHaveNoTrailer: whatever goes wrong with the export, no reader takes the delta.
func TestSpoiledExportsHaveNoTrailer(t *testing.T) {
	for name, spoil := range map[string]func(*memory){
		"cut":         func(m *memory) { m.spoil = func(b []byte) []byte { return b[:len(b)-100] } },
		"no end":      func(m *memory) { m.spoil = func(b []byte) []byte { return b[:len(b)-1] } },
		"exit status": func(m *memory) { m.exportRC = 110 },
		"header only": func(m *memory) { m.spoil = func(b []byte) []byte { return b[:len(magic)] }; m.exportRC = 2 },
		"not listed":  func(m *memory) { m.spoil = func(b []byte) []byte { return unlisted(b) } },
		"another size": func(m *memory) {
			m.spoil = func(b []byte) []byte { return bytes.Replace(b, []byte("s\x00"), []byte("s\x01"), 1) }
		},
		"something else": func(m *memory) { m.spoil = func([]byte) []byte { return []byte("usage: rbd export-diff ...") } },
	} {
		m := newMemory(32)
		m.snapshot("a")
		for i := range 20 {
			m.write(i, bytes.Repeat([]byte{byte(i + 1)}, block))
		}
		m.snapshot("b")
		good, _, err := extract(m, "a", "b", t)
		require.NoError(t, err, name)
		require.NoError(t, whole(t, good))
		spoil(m)
		bad, _, err := extract(m, "a", "b", t)
		require.Error(t, err, name)
		if len(bad) > 0 {
			require.Error(t, whole(t, bad), name)
		}
	}
}

// unlisted adds content that rbd diff did not list.
func unlisted(b []byte) []byte {
	var extra bytes.Buffer
	w := newRecordWriter(&extra)
	_ = w.write(make([]byte, block), 25*block)
	_ = w.end()
	return append(bytes.Clone(b[:len(b)-1]), extra.Bytes()...)
}

func whole(t require.TestingT, delta []byte) error {
	_, err := engine.Merge(contextOf(t), mem.New("d", 1<<20), bytes.NewReader(delta), engine.MergeOptions{})
	return err
}

func TestSourceRefusals(t *testing.T) {
	m := newMemory(8)
	m.snapshot("a")
	m.snapshot("b")
	_, _, err := extract(m, "b", "a", t)
	require.ErrorIs(t, err, ErrOrder)
	_, _, err = extract(m, "nosuch", "a", t)
	require.ErrorIs(t, err, rbd.ErrNoSnapshot)
	m.absent = true
	_, _, err = extract(m, "a", "b", t)
	require.ErrorIs(t, err, rbd.ErrNoImage)
}

// TestCutImportsAreCuredByTheSameDelta: wherever an import dies, the target has no snapshot of the new
// generation, and the same delta applied again gives exactly it.
func TestCutImportsAreCuredByTheSameDelta(t *testing.T) {
	src := newMemory(32)
	src.write(0, bytes.Repeat([]byte{9}, block))
	src.snapshot("a")
	full, _, err := extract(src, "", "a", t)
	require.NoError(t, err)
	for i := range 8 {
		src.write(3*i, bytes.Repeat([]byte{byte(i + 1)}, block))
	}
	src.snapshot("b")
	inc, s, err := extract(src, "a", "b", t)
	require.NoError(t, err)
	for cut := 1; ; cut++ {
		dst := newMemory(0)
		dst.absent = true
		require.NoError(t, merge(t, dst, full, false))
		dst.importCut = cut
		if merge(t, dst, inc, false) == nil {
			require.Greater(t, cut, 3)
			return
		}
		require.Nil(t, dst.snaps[SnapshotName(s.To)], "no snapshot of a mixture")
		dst.importCut = 0
		require.NoError(t, merge(t, dst, inc, true))
		require.True(t, bytes.Equal(flat(src.snaps["b"]), flat(dst.snaps[SnapshotName(s.To)])))
	}
}

func TestTargetRefusals(t *testing.T) {
	base := generation.Generation{UUID: "u", Seq: 1, Time: time.Now()}
	h := stream.Header{Kind: stream.KindDelta, VolumeSize: 8 * block, SetBytes: block, From: base, To: generation.Generation{UUID: "u", Seq: 2}}
	for name, c := range map[string]struct {
		change func(*memory, *stream.Header)
		want   error
	}{
		"in use":        {func(m *memory, _ *stream.Header) { m.watchers = `{"watchers":[{"address":"1.2.3.4:0/1"}]}` }, ErrTarget},
		"foreign lock":  {func(m *memory, _ *stream.Header) { m.locks = `[{"id":"x","locker":"client.1","address":"y"}]` }, ErrTarget},
		"dead lock":     {func(m *memory, _ *stream.Header) { m.locks = `[{"id":"auto 7","locker":"client.1","address":"y"}]` }, nil},
		"wrong base":    {func(_ *memory, h *stream.Header) { h.From.Seq = 9 }, ErrBase},
		"foreign write": {func(m *memory, _ *stream.Header) { m.write(1, make([]byte, block)) }, ErrTarget},
		"full pool":     {func(m *memory, _ *stream.Header) { m.free = 10 }, rbd.ErrNoSpace},
		"full copy":     {func(_ *memory, h *stream.Header) { h.Kind = stream.KindFull }, ErrTarget},
		"sub-chunk":     {func(_ *memory, h *stream.Header) { h.SubChunk = true }, ErrTarget},
		"absent":        {func(m *memory, _ *stream.Header) { m.absent = true }, rbd.ErrNoImage},
		"fits":          {func(*memory, *stream.Header) {}, nil},
	} {
		m, head := newMemory(8), h
		m.snapshot(SnapshotName(base))
		c.change(m, &head)
		target, err := OpenTarget(t.Context(), m.cli(), img)
		require.NoError(t, err)
		_, err = target.Check(t.Context(), head, false, false)
		require.ErrorIs(t, err, c.want, name)
	}
}
