package session

import (
	"context"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// duplex joins two pipes, as a process started by package transport has them.
type duplex struct{ r, w *os.File }

func (d duplex) Read(p []byte) (int, error)  { return d.r.Read(p) }
func (d duplex) Write(p []byte) (int, error) { return d.w.Write(p) }
func (d duplex) Close() error                { d.w.Close(); return d.r.Close() }

// BenchmarkSend: one data stream through a session over operating system pipes.
func BenchmarkSend(b *testing.B) {
	r1, w1, err := os.Pipe()
	require.NoError(b, err)
	r2, w2, err := os.Pipe()
	require.NoError(b, err)
	go func() { _ = Serve(context.Background(), duplex{r1, w2}, HandlerFunc(drain), Options{}) }()
	c, err := Connect(b.Context(), duplex{r2, w1}, Options{})
	require.NoError(b, err)
	frame := make([]byte, 256<<10)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	x, err := c.Start(b.Context(), "drain", nil, nil)
	require.NoError(b, err)
	b.ResetTimer()
	require.NoError(b, x.Send(func(w io.Writer) error {
		for range b.N {
			if _, err := w.Write(frame); err != nil {
				return err
			}
		}
		return nil
	}))
	require.NoError(b, x.Finish(nil))
	b.StopTimer()
	require.NoError(b, c.Close())
}

func drain(_ context.Context, r *Request) error {
	_, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{r.Data()}, make([]byte, 256<<10))
	return err
}
