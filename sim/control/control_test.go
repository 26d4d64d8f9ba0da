package control

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var t0 = time.Date(2014, 3, 25, 16, 0, 0, 0, time.UTC)

func TestManualClockWaitsForAdvance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := NewClock(Manual, t0)
		require.NoError(t, err)
		woke := false
		go func() {
			_ = c.WaitUntil(t.Context(), t0.Add(time.Minute))
			woke = true
		}()
		synctest.Wait()
		require.NoError(t, c.Advance(59*time.Second))
		synctest.Wait()
		require.False(t, woke)
		require.NoError(t, c.Advance(time.Second))
		synctest.Wait()
		require.True(t, woke)
	})
}

func TestAutoClockJumpsForWaiters(t *testing.T) {
	c, err := NewClock(Auto, t0)
	require.NoError(t, err)
	require.NoError(t, c.WaitUntil(t.Context(), t0.Add(time.Hour)))
	require.Equal(t, t0.Add(time.Hour), c.Now())
	require.NoError(t, c.WaitUntil(t.Context(), t0), "the past needs no wait")
	require.Equal(t, t0.Add(time.Hour), c.Now(), "time never goes back")
	require.Error(t, c.Advance(-1))
}

func TestRealClockIsShiftedByAdvance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := NewClock(Real, time.Time{})
		require.NoError(t, err)
		begin := c.Now()
		require.NoError(t, c.Advance(time.Hour))
		require.Equal(t, begin.Add(time.Hour), c.Now())
		real := time.Now()
		require.NoError(t, c.WaitUntil(t.Context(), begin.Add(time.Hour+time.Minute)))
		require.Equal(t, time.Minute, time.Since(real))
		require.NoError(t, c.SetMode(Manual))
		at := c.Now()
		time.Sleep(time.Minute) // of the bubble: takes no time
		require.Equal(t, at, c.Now())
		require.NoError(t, c.SetMode(Real))
		require.Equal(t, at, c.Now())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, c.WaitUntil(ctx, at.Add(time.Hour)), context.Canceled)
	})
	_, err := NewClock("never", t0)
	require.Error(t, err)
}

func TestFaultsMatchAndCount(t *testing.T) {
	changes := 0
	s := NewFaults(map[string]ValueType{"slow": Number, "cut": Bool}, []string{"a", "b"}, func() { changes++ })
	id, err := s.Add(Fault{Array: "a", Kind: "slow", Value: json.RawMessage("5"), Match: "GET", Count: 2})
	require.NoError(t, err)
	require.Equal(t, 1, id)
	take := func(array, subject string) bool { _, ok := s.Take(array, "slow", subject); return ok }
	require.False(t, take("b", "GET /x"))
	require.False(t, take("a", "PUT /x"))
	require.True(t, take("a", "GET /x"))
	require.True(t, take("a", "GET /y"))
	require.False(t, take("a", "GET /z"), "used up")
	require.Equal(t, 2, changes, "added, and gone")

	_, err = s.Add(Fault{Kind: "cut"})
	require.NoError(t, err)
	_, on := s.Active("b", "cut")
	require.True(t, on)
	_, err = s.Add(Fault{Array: "b", Kind: "cut", Value: json.RawMessage("false")})
	require.NoError(t, err)
	_, on = s.Active("b", "cut")
	require.False(t, on, "the newest decides")
	_, on = s.Active("a", "cut")
	require.True(t, on)
	require.Equal(t, 1, s.Clear(0, "b", ""))
	require.Equal(t, 1, s.Clear(0, "", "cut"))
	require.Zero(t, s.Clear(0, "", ""))
	for _, bad := range []Fault{{Kind: "nosuch"}, {Kind: "slow"}, {Kind: "cut", Value: json.RawMessage("1")}, {Kind: "cut", Array: "c"}, {Kind: "cut", Count: -1}} {
		_, err := s.Add(bad)
		require.Error(t, err, "%+v", bad)
	}
}

func TestJournalNumbersGoOn(t *testing.T) {
	var j Journal
	first := j.Begin(Entry{Command: "one"})
	second := j.Begin(Entry{Command: "two"})
	j.End(first, 3)
	require.Equal(t, []int{3, -1}, []int{j.Since(0)[0].RC, j.Since(0)[1].RC}, "a command that has not ended shows -1")
	require.Len(t, j.Since(first), 1)
	j.Reset()
	j.End(second, 0) // of before the reset: no effect
	require.Empty(t, j.Since(0))
	require.Equal(t, second+1, j.Begin(Entry{}))
}

func TestJournalIsBounded(t *testing.T) {
	var j Journal
	for range journalLimit + 1 {
		j.Begin(Entry{})
	}
	j.End(1, 0)
	require.Less(t, len(j.Since(0)), journalLimit)
	j.End(journalLimit+1, 7)
	require.Equal(t, 7, j.Since(journalLimit)[0].RC)
}

func TestAnnounceWritesOneLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ready")
	var out bytes.Buffer
	require.NoError(t, Announce(&out, path, map[string]int{"pid": 1}))
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "{\"pid\":1}\n", out.String())
	require.Equal(t, out.String(), string(file))
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Error(t, Announce(&out, filepath.Join(path, "no", "directory"), 1))
}
