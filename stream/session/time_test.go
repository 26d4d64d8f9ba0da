package session

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// TestLongWorkIsNoSilence: a handler that says nothing for an hour, and a receiver
// that reads nothing for an hour, are alive.
func TestLongWorkIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := start(t, func(ctx context.Context, r *Request) error {
			time.Sleep(time.Hour)
			_, err := io.Copy(io.Discard, r.Data())
			return err
		}, Options{})
		require.NoError(t, c.Call(t.Context(), "x", nil, nil, nil))
		x, err := c.Start(t.Context(), "x", nil, nil)
		require.NoError(t, err)
		begun := time.Now()
		require.NoError(t, x.Send(func(w io.Writer) error {
			_, err := w.Write(make([]byte, 2*Window)) // blocks until the handler reads
			return err
		}))
		require.GreaterOrEqual(t, time.Since(begun), time.Hour)
		require.NoError(t, x.Finish(nil))
		require.NoError(t, c.Close())
	})
}

// mute is a peer that does the handshake and then reads, or not, and never speaks.
func mute(conn net.Conn, reads bool) {
	go func() {
		_, _ = io.WriteString(conn, "ddsgo-session/1 version=1 host=mute capabilities=\n")
		b := make([]byte, 4096)
		for reads {
			if _, err := conn.Read(b); err != nil {
				return
			}
		}
		_, _ = conn.Read(b)
	}()
}

// TestSilentServer: a stopped server ends every wait of the client at the time-out,
// whether the network still swallows our bytes or not.
func TestSilentServer(t *testing.T) {
	waits := map[string]func(ctx context.Context, c *Conn) error{
		"call": func(ctx context.Context, c *Conn) error { return c.Call(ctx, "x", nil, nil, nil) },
		"ready": func(ctx context.Context, c *Conn) error {
			x, err := c.Start(ctx, "x", nil, nil)
			if err != nil {
				return err
			}
			return errors.Join(x.Ready(nil), x.Finish(nil))
		},
		"send": func(ctx context.Context, c *Conn) error {
			x, err := c.Start(ctx, "x", nil, nil)
			if err != nil {
				return err
			}
			err = x.Send(func(w io.Writer) error { _, err := io.Copy(w, endless{}); return err })
			return errors.Join(err, x.Finish(nil))
		},
		"receive": func(ctx context.Context, c *Conn) error {
			x, err := c.Start(ctx, "x", nil, nil)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, x.Recv())
			return errors.Join(err, x.Finish(nil))
		},
	}
	for name, wait := range waits {
		for _, reads := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a, b := net.Pipe()
					mute(b, reads)
					c, err := Connect(t.Context(), a, Options{ProgressTimeout: 30 * time.Second})
					require.NoError(t, err)
					begun := time.Now()
					err = wait(t.Context(), c)
					require.ErrorIs(t, err, ErrPeerSilent)
					code, _ := failure.CodeOf(err)
					require.Equal(t, failure.CodeUnreachable, code)
					require.Equal(t, 30*time.Second, time.Since(begun))
					require.NoError(t, c.Close())
					b.Close()
				})
			})
		}
	}
}

// TestSilentClient: the server cancels the handler and ends.
func TestSilentClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, a) }()
		go func() {
			_, _ = io.WriteString(a, "ddsgo-session/1 version=1 host=mute capabilities=\n")
			_, _ = a.Write(message(msgRequest, 0, 1, []byte(`{"op":"x"}`)))
		}()
		begun := time.Now()
		var cause, read error
		err := Serve(t.Context(), b, HandlerFunc(func(ctx context.Context, r *Request) error {
			_, read = io.Copy(io.Discard, r.Data())
			<-ctx.Done()
			cause = context.Cause(ctx)
			return cause
		}), Options{})
		require.ErrorIs(t, err, ErrPeerSilent)
		require.ErrorIs(t, cause, ErrPeerSilent)
		require.ErrorIs(t, read, ErrPeerSilent)
		require.Equal(t, DefaultProgressTimeout, time.Since(begun))
	})
}

func TestHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, connect := range []func(io.ReadWriteCloser) error{
			func(rw io.ReadWriteCloser) error { _, err := Connect(t.Context(), rw, Options{}); return err },
			func(rw io.ReadWriteCloser) error {
				return Serve(t.Context(), rw, HandlerFunc(operations), Options{})
			},
		} {
			a, b := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, b) }()
			begun := time.Now()
			require.ErrorIs(t, connect(a), ErrPeerSilent)
			require.Equal(t, DefaultHandshake, time.Since(begun))
		}
	})
}

// TestSlowLine: bytes that trickle are signs of life too.
func TestSlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		mute(b, true)
		c, err := Connect(t.Context(), a, Options{})
		require.NoError(t, err)
		go func() {
			payload := append([]byte(`"`), make([]byte, 300)...)
			for i := range payload[1:] {
				payload[i+1] = 'x'
			}
			for _, by := range message(msgReply, 0, 1, append(payload, '"')) {
				time.Sleep(10 * time.Second)
				_, _ = b.Write([]byte{by})
			}
		}()
		var out string
		require.NoError(t, c.Call(t.Context(), "x", nil, &out, nil))
		require.Len(t, out, 300)
		require.NoError(t, c.Close())
		b.Close()
	})
}

// TestProgressRate: bursts are thinned, the newest arrives, and something arrives at
// least every five seconds.
func TestProgressRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := start(t, func(ctx context.Context, r *Request) error {
			for i := range int64(10000) { // ten seconds, a thousand a second
				r.Progress(Progress{Phase: "applying", Done: i, Total: 10000})
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Minute)
			return nil
		}, Options{})
		var got []Progress
		last, worst := time.Now(), time.Duration(0)
		begun := time.Now()
		require.NoError(t, c.Call(t.Context(), "x", nil, nil, func(p Progress) {
			if time.Since(begun) <= 10*time.Second {
				worst = max(worst, time.Since(last))
			}
			last = time.Now()
			got = append(got, p)
		}))
		require.LessOrEqual(t, worst, MaxHeartbeat)
		require.LessOrEqual(t, len(got), int(10*time.Second/minProgress)+8)
		require.EqualValues(t, 9999, got[len(got)-1].Done)
		require.NoError(t, c.Close())
	})
}

// TestBlockingProgress: a slow observer loses progress, not the session.
func TestBlockingProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := start(t, func(ctx context.Context, r *Request) error {
			for i := range int64(600) {
				r.Progress(Progress{Done: i})
				time.Sleep(time.Second)
			}
			return nil
		}, Options{})
		require.NoError(t, c.Call(t.Context(), "x", nil, nil, func(Progress) { time.Sleep(3 * time.Minute) }))
		require.NoError(t, c.Close())
	})
}

// TestCancelIsQuick: at once, also when the peer has stopped and every pipe is full.
func TestCancelIsQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		mute(b, false)
		c, err := Connect(t.Context(), a, Options{})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		x, err := c.Start(ctx, "x", nil, nil)
		require.NoError(t, err)
		begun := time.Now()
		err = x.Send(func(w io.Writer) error { _, err := io.Copy(w, endless{}); return err })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, x.Finish(nil), context.DeadlineExceeded)
		require.NoError(t, c.Close())
		require.Less(t, time.Since(begun), 11*time.Second)
		b.Close()
	})
}

// TestCloseToStoppedPeer does not wait for it.
func TestCloseToStoppedPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		mute(b, false)
		c, err := Connect(t.Context(), a, Options{})
		require.NoError(t, err)
		begun := time.Now()
		require.NoError(t, c.Close())
		require.LessOrEqual(t, time.Since(begun), closeGrace)
		b.Close()
	})
}

// TestServeEndsWithContext: the handler is cancelled and waited for.
func TestServeEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		finished := false
		served := make(chan error, 1)
		go func() {
			served <- Serve(ctx, b, HandlerFunc(func(ctx context.Context, r *Request) error {
				<-ctx.Done()
				time.Sleep(time.Minute) // work that must not be left half done
				finished = true
				return nil
			}), Options{})
		}()
		c, err := Connect(t.Context(), a, Options{})
		require.NoError(t, err)
		go func() { time.Sleep(time.Second); cancel() }()
		require.ErrorIs(t, c.Call(t.Context(), "x", nil, nil, nil), ErrPeerGone)
		require.ErrorIs(t, <-served, context.Canceled)
		require.True(t, finished)
		require.NoError(t, c.Close())
	})
}
