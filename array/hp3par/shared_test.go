package hp3par

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Many who may share cost one question, whether the answer is good or bad; those who may
// not are asked for anew, and a question that its asker gave up is no answer.
func TestSharedAnswers(t *testing.T) {
	dead := errors.New("no route to host")
	synctest.Test(t, func(t *testing.T) {
		var s shared[int]
		var asked atomic.Int32
		ask := func(ctx context.Context) (int, error) {
			n := asked.Add(1)
			select {
			case <-time.After(15 * time.Second): // as a dead host takes
				return int(n), dead
			case <-ctx.Done():
				return 0, context.Cause(ctx)
			}
		}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				n, err := s.get(t.Context(), true, ask)
				if n != 1 || !errors.Is(err, dead) {
					t.Errorf("got %d, %v", n, err)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, asked.Load(), "a dead array is asked once")
		_, err := s.get(t.Context(), true, ask)
		require.ErrorIs(t, err, dead)
		require.EqualValues(t, 1, asked.Load(), "and for a moment after")
		n, _ := s.get(t.Context(), false, ask)
		require.Equal(t, 2, n, "who needs the present asks")
		time.Sleep(listingAge)
		n, _ = s.get(t.Context(), true, ask)
		require.Equal(t, 3, n, "an old answer is none")
		s.forget()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = s.get(ctx, true, ask)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		n, err = s.get(t.Context(), true, ask)
		require.Equal(t, 5, n, "another's deadline is not this one's answer")
		require.ErrorIs(t, err, dead)

		s.forget()
		impatient, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		go func() { _, _ = s.get(t.Context(), true, ask) }()
		synctest.Wait()
		var quiet *silence
		_, err = s.get(impatient, true, ask)
		require.ErrorAs(t, err, &quiet, "who waits for another's question keeps the own deadline")
		require.EqualValues(t, 6, asked.Load())
		time.Sleep(time.Minute)
	})
}

// An answer that was asked for earlier does not replace a newer one.
func TestSharedAnswersKeepTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s shared[string]
		slow := make(chan string)
		go func() {
			_, _ = s.get(t.Context(), false, func(context.Context) (string, error) { return <-slow, nil })
		}()
		synctest.Wait()
		time.Sleep(time.Second)
		_, err := s.get(t.Context(), false, func(context.Context) (string, error) { return "new", nil })
		require.NoError(t, err)
		slow <- "old"
		synctest.Wait()
		got, err := s.get(t.Context(), true, func(context.Context) (string, error) { return "asked", nil })
		require.NoError(t, err)
		require.Equal(t, "new", got)
	})
}
