package engine_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/blockdev/fault"
	"github.com/ddsgo/ddsgo/blockdev/mem"
	"github.com/ddsgo/ddsgo/engine"
)

// TestErrorWhilePeerIsSilent: an error of the device or of a read ends the run even if the
// other end of the pipe neither sends nor reads any more.
func TestErrorWhilePeerIsSilent(t *testing.T) {
	old, v := change(12, 4<<20, 4096, 1000)
	var wire bytes.Buffer
	_, err := engine.Extract(t.Context(), &wire, v, engine.ExtractOptions{Header: header(v, 0)})
	require.NoError(t, err)
	within := func(run func() error) {
		t.Helper()
		done := make(chan error, 1)
		go func() { done <- run() }()
		select {
		case err := <-done:
			require.Error(t, err)
			require.NotErrorIs(t, err, context.Canceled, "the cause, not its consequence")
		case <-time.After(5 * time.Second):
			t.Fatal("hangs")
		}
	}
	within(func() error {
		r, w := io.Pipe()
		go func() { _, _ = w.Write(wire.Bytes()[:wire.Len()/2]) }()
		_, err := engine.Merge(t.Context(), fault.New(mem.NewFrom("t", old), fault.Fault{Op: fault.AnyChange, Nth: 1}), r, engine.MergeOptions{})
		return err
	})
	within(func() error {
		_, w := io.Pipe()
		v.fail = func(off int64) error {
			if off > 2<<20 {
				return io.ErrNoProgress
			}
			return nil
		}
		_, err := engine.Extract(t.Context(), w, v, engine.ExtractOptions{Header: header(v, 0), Codec: engine.CodecNone})
		return err
	})
}

func TestPeek(t *testing.T) {
	old, v := change(13, 1<<20, 4096, 30)
	var wire bytes.Buffer
	_, err := engine.Extract(t.Context(), &wire, v, engine.ExtractOptions{Header: header(v, 0)})
	require.NoError(t, err)
	in, err := engine.Peek(t.Context(), &wire)
	require.NoError(t, err)
	require.Equal(t, "test", in.Header.Source)
	dev := mem.NewFrom("t", old)
	_, err = engine.Merge(t.Context(), dev, in, engine.MergeOptions{})
	require.NoError(t, err)
	require.True(t, bytes.Equal(v.content, dev.Content()))
}

// holey is a source with a hole in its second half, which must not be read.
type holey struct{ *volume }

func (h holey) NextData(off int64) (int64, error) {
	if half := int64(len(h.content) / 2); off >= half {
		return int64(len(h.content)), nil
	}
	return off, nil
}

func TestHolesAreNotRead(t *testing.T) {
	_, v := change(14, 1<<20, 4096, 300)
	clear(v.content[1<<19:])
	var plain, sparse bytes.Buffer
	_, err := engine.Extract(t.Context(), &plain, v, engine.ExtractOptions{Header: header(v, 8192), Codec: engine.CodecS2})
	require.NoError(t, err)
	v.fail = func(off int64) error {
		if off >= 1<<19 {
			return errors.New("read a hole")
		}
		return nil
	}
	_, err = engine.Extract(t.Context(), &sparse, holey{v}, engine.ExtractOptions{Header: header(v, 8192), Codec: engine.CodecS2})
	require.NoError(t, err)
	require.True(t, bytes.Equal(plain.Bytes(), sparse.Bytes()), "the delta is the same, byte for byte")
}
