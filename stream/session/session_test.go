package session

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// start runs a server with h and connects a client to it over an in-memory pipe.
func start(t *testing.T, h HandlerFunc, opt Options) (*Conn, <-chan error) {
	t.Helper()
	a, b := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- Serve(context.Background(), b, h, opt) }()
	c, err := Connect(t.Context(), a, opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c, served
}

type echo struct {
	Text string `json:"text"`
	N    int64  `json:"n"`
}

// operations is a handler with one operation per behaviour that the tests need.
func operations(ctx context.Context, r *Request) error {
	switch r.Op {
	case "echo":
		var e echo
		if err := r.Decode(&e); err != nil {
			return err
		}
		return r.Reply(e)
	case "refuse":
		return failure.Refused("/dev/vg1/x", "the volume is primary", "ddsgo status x")
	case "wrapped":
		return fmt.Errorf("while looking: %w", failure.Refused("/dev/vg1/x", "mounted", "umount it"))
	case "plain":
		return errors.New("disk on fire")
	case "sum":
		if err := r.Ready(echo{Text: "go"}); err != nil {
			return err
		}
		h := sha256.New()
		n, err := io.Copy(h, r.Data())
		if err != nil {
			return err
		}
		return r.Reply(echo{Text: fmt.Sprintf("%x", h.Sum(nil)), N: n})
	case "source":
		var e echo
		if err := r.Decode(&e); err != nil {
			return err
		}
		_, err := io.CopyN(r.Writer(), rand.NewChaCha8([32]byte{1}), e.N)
		return err
	case "early":
		if _, err := io.CopyN(io.Discard, r.Data(), 1000); err != nil {
			return err
		}
		return failure.With(failure.CodeCorrupt, "stream", "bad magic", "again", nil)
	case "mirror": // both directions at once
		_, err := io.Copy(flushing{r.Writer()}, r.Data())
		return err
	case "wait":
		r.Progress(Progress{Phase: "waiting"})
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return failure.Usage("unknown operation %q", r.Op)
}

// flushing sends each Write at once.
type flushing struct{ w *DataWriter }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err == nil {
		err = f.w.Flush()
	}
	return n, err
}

func TestCall(t *testing.T) {
	c, served := start(t, operations, Options{Version: "1.2.3", Host: "dr1", Capabilities: []string{"journal"}})
	require.Equal(t, "1.2.3", c.Peer().Version)
	require.Equal(t, "dr1", c.Peer().Host)
	require.True(t, c.Peer().Has("journal"))
	require.False(t, c.Peer().Has("resync"))
	for i := range 20 {
		var out echo
		in := echo{Text: strings.Repeat("x", i*1000), N: int64(i)}
		require.NoError(t, c.Call(t.Context(), "echo", in, &out, nil))
		require.Equal(t, in, out)
	}
	require.NoError(t, c.Close())
	require.NoError(t, <-served, "bye ends a session without an error")
}

func TestFailures(t *testing.T) {
	c, _ := start(t, operations, Options{})
	for _, tt := range []struct {
		op   string
		want failure.Error
	}{
		{"refuse", failure.Error{Code: failure.CodeRefused, Subject: "/dev/vg1/x", Reason: "the volume is primary", Next: "ddsgo status x"}},
		{"wrapped", failure.Error{Code: failure.CodeRefused, Subject: "/dev/vg1/x", Reason: "while looking: /dev/vg1/x: mounted", Next: "umount it"}},
		{"plain", failure.Error{Code: failure.CodeFailure, Reason: "disk on fire"}},
		{"nonsense", failure.Error{Code: failure.CodeUsage, Reason: `unknown operation "nonsense"`}},
	} {
		err := c.Call(t.Context(), tt.op, nil, nil, nil)
		var f *failure.Error
		require.ErrorAs(t, err, &f, tt.op)
		require.Equal(t, tt.want, *f)
	}
	err := c.Call(t.Context(), "echo", map[string]int{"unknown": 1}, nil, nil)
	code, _ := failure.CodeOf(err)
	require.Equal(t, failure.CodeCorrupt, code)
	require.ErrorContains(t, err, "unknown")
}

func TestSend(t *testing.T) {
	c, _ := start(t, operations, Options{})
	for _, size := range []int64{0, 1, MaxData, MaxData + 1, Window, 3*Window + 12345} {
		x, err := c.Start(t.Context(), "sum", nil, nil)
		require.NoError(t, err)
		var ready, out echo
		require.NoError(t, x.Ready(&ready))
		require.Equal(t, "go", ready.Text)
		h := sha256.New()
		require.NoError(t, x.Send(func(w io.Writer) error {
			_, err := io.CopyN(io.MultiWriter(w, h), rand.NewChaCha8([32]byte{2}), size)
			return err
		}))
		require.NoError(t, x.Finish(&out))
		require.Equal(t, echo{Text: fmt.Sprintf("%x", h.Sum(nil)), N: size}, out)
	}
}

func TestReceive(t *testing.T) {
	c, _ := start(t, operations, Options{})
	for _, size := range []int64{0, 1, 2*Window + 5} {
		x, err := c.Start(t.Context(), "source", echo{N: size}, nil)
		require.NoError(t, err)
		h, want := sha256.New(), sha256.New()
		n, err := io.Copy(h, x.Recv())
		require.NoError(t, err)
		require.Equal(t, size, n)
		require.NoError(t, x.Finish(nil))
		_, err = io.CopyN(want, rand.NewChaCha8([32]byte{1}), size)
		require.NoError(t, err)
		require.Equal(t, want.Sum(nil), h.Sum(nil))
	}
}

// TestUnreadDataDoesNotBlock: Finish without reading what the server sends.
func TestUnreadDataDoesNotBlock(t *testing.T) {
	c, _ := start(t, operations, Options{})
	x, err := c.Start(t.Context(), "source", echo{N: 5 * Window}, nil)
	require.NoError(t, err)
	require.NoError(t, x.Finish(nil))
	require.NoError(t, c.Call(t.Context(), "echo", echo{}, nil, nil))
}

// TestBothDirections: far more than both windows is under way in a loop.
func TestBothDirections(t *testing.T) {
	c, _ := start(t, operations, Options{})
	x, err := c.Start(t.Context(), "mirror", nil, nil)
	require.NoError(t, err)
	want := make([]byte, 3*Window)
	_, err = rand.NewChaCha8([32]byte{3}).Read(want)
	require.NoError(t, err)
	var wg sync.WaitGroup
	var got []byte
	wg.Go(func() { got, _ = io.ReadAll(x.Recv()) })
	require.NoError(t, x.Send(func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(want))
		return err
	}))
	wg.Wait()
	require.NoError(t, x.Finish(nil))
	require.True(t, bytes.Equal(want, got))
}

// TestServerFailsWhileWeSend: the writer stops with the server's reason, and the
// session goes on.
func TestServerFailsWhileWeSend(t *testing.T) {
	c, _ := start(t, operations, Options{})
	for range 3 {
		x, err := c.Start(t.Context(), "early", nil, nil)
		require.NoError(t, err)
		err = x.Send(func(w io.Writer) error {
			_, err := io.Copy(w, endless{})
			return err
		})
		require.ErrorContains(t, err, "bad magic")
		require.ErrorContains(t, x.Finish(nil), "bad magic")
	}
	require.NoError(t, c.Call(t.Context(), "echo", echo{}, nil, nil))
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestSourceFailsWhileWeSend: a stream that is cut short never looks whole.
func TestSourceFailsWhileWeSend(t *testing.T) {
	var seen error
	c, _ := start(t, func(ctx context.Context, r *Request) error {
		if r.Op == "take" {
			_, seen = io.Copy(io.Discard, r.Data())
			return seen
		}
		return operations(ctx, r)
	}, Options{})
	x, err := c.Start(t.Context(), "take", nil, nil)
	require.NoError(t, err)
	broken := errors.New("read /dev/vg0/x: input/output error")
	require.ErrorIs(t, x.Send(func(w io.Writer) error {
		_, err := w.Write(make([]byte, 1000))
		return errors.Join(err, broken)
	}), broken)
	require.ErrorIs(t, x.Finish(nil), broken)
	require.ErrorIs(t, seen, ErrCancelled)
	require.ErrorContains(t, seen, "input/output error")
	require.NoError(t, c.Call(t.Context(), "echo", echo{}, nil, nil))
}

func TestOneExchangeAtATime(t *testing.T) {
	c, _ := start(t, operations, Options{})
	x, err := c.Start(t.Context(), "sum", nil, nil)
	require.NoError(t, err)
	_, err = c.Start(t.Context(), "sum", nil, nil)
	require.ErrorIs(t, err, ErrBusy)
	require.NoError(t, x.Finish(nil))
}

func TestCancel(t *testing.T) {
	cause := make(chan error, 1)
	c, served := start(t, func(ctx context.Context, r *Request) error {
		err := operations(ctx, r)
		cause <- err
		return err
	}, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	var progressed atomic.Bool
	err := c.Call(ctx, "wait", nil, nil, func(p Progress) {
		progressed.Store(p.Phase == "waiting")
		cancel()
	})
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, progressed.Load())
	require.ErrorIs(t, <-cause, ErrPeerGone)
	require.ErrorIs(t, <-served, ErrPeerGone)
	require.Error(t, c.Call(t.Context(), "echo", echo{}, nil, nil), "the session is over")
}

func TestHandshake(t *testing.T) {
	good := "ddsgo-session/1 version=9 host=h capabilities=a,b"
	for _, tt := range []struct {
		name, said, noise string
		is                error
		text              string
	}{
		{"plain", good + "\n", "", nil, ""},
		{"carriage return", good + "\r\n", "", nil, ""},
		{"message of the day", "Welcome!\nAll use is logged.\n" + good + "\n", "Welcome!\nAll use is logged.\n", nil, ""},
		{"no line end before", "stty: no tty " + good + "\n", "stty: no tty ", nil, ""},
		{"terminal control", "\x1b[2J\x07hi\n" + good + "\n", "[2Jhi\n", nil, ""},
		{"other version", strings.Replace(good, "/1", "/2", 1) + "\n", "", ErrVersion, "protocol 2"},
		{"no version", "ddsgo-session/ \n", "", ErrProtocol, ""},
		{"huge version", "ddsgo-session/99999999999\n", "", ErrProtocol, ""},
		{"nothing", "", "", ErrNoBanner, ""},
		{"shell", "sh: 1: ddsgo: not found\n", "", ErrNoBanner, "ddsgo: not found"},
		{"cut banner", good, "", ErrNoBanner, ""},
		{"too much", strings.Repeat("y\n", MaxNoise), "", ErrNoBanner, "more than"},
		{"too much in one line", strings.Repeat("y", 3*MaxNoise), "", ErrNoBanner, "more than"},
		{"long banner", good + strings.Repeat("x", MaxBanner) + "\n", "", ErrNoBanner, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := net.Pipe()
			go func() {
				_, _ = io.WriteString(b, tt.said)
				if tt.is == nil {
					_, _ = io.Copy(io.Discard, b)
				}
				b.Close()
			}()
			c, err := Connect(t.Context(), a, Options{})
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
				require.ErrorContains(t, err, tt.text)
				return
			}
			require.NoError(t, err)
			require.Equal(t, Peer{Protocol: 1, Version: "9", Host: "h", Capabilities: []string{"a", "b"}, Noise: tt.noise}, c.Peer())
			require.NoError(t, c.Close())
		})
	}
}

func TestBadOptions(t *testing.T) {
	for _, o := range []Options{
		{Heartbeat: 6 * time.Second}, {Heartbeat: -1}, {ProgressTimeout: time.Second}, {Capabilities: []string{"A b"}},
	} {
		a, b := net.Pipe()
		_, err := Connect(t.Context(), a, o)
		require.Error(t, err)
		require.Error(t, Serve(t.Context(), b, HandlerFunc(operations), o))
	}
}
