package replica

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/state"
)

// unsyncable is a device whose first fsyncs fail. After such an error a kernel may have thrown
// away what was to be written and call the next fsync good.
type unsyncable struct {
	blockdev.Device
	failures *int
	writes   *int
}

func (d unsyncable) WriteAt(p []byte, off int64) (int, error) {
	*d.writes++
	return d.Device.WriteAt(p, off)
}

func (d unsyncable) ZeroAt(off, n int64) error {
	*d.writes++
	return d.Device.ZeroAt(off, n)
}

func (d unsyncable) Sync() error {
	if *d.failures > 0 {
		*d.failures--
		return errIO
	}
	return d.Device.Sync()
}

// TestApplyAgainAfterFsyncError: after an error of fsync the whole journal is written again, never
// the fsync alone. A device that goes on failing leaves the target `applying`, which status shows
// with the reason, and the next sync finishes it once the device is well.
func TestApplyAgainAfterFsyncError(t *testing.T) {
	once := 0 // writes of one apply; every world is the same
	for failures := range applyTries + 1 {
		w := pairInSync(t)
		w.change()
		left, writes := failures, 0
		w.far = func(h *Host) {
			open := h.OpenDevice
			h.OpenDevice = func(path string, o blockdev.Options) (blockdev.Device, error) {
				d, err := open(path, o)
				return unsyncable{d, &left, &writes}, err
			}
		}
		_, err := w.run(w.start(nil), doSync)
		if failures == 0 {
			once = writes
		}
		require.Positive(t, once)
		require.Equal(t, min(failures+1, applyTries)*once, writes, "%d failures: every byte, each time", failures)
		if failures < applyTries {
			require.NoError(t, err)
			require.NoError(t, w.settled())
			continue
		}
		require.ErrorContains(t, err, "the journal stays and will be written again")
		r, err := w.probe()
		require.NoError(t, err)
		require.Equal(t, string(state.KindApplying), r.Condition)
		e := w.start(nil)
		o, err := (&Driver{Host: e.near, Leg: w.theLeg(), Opt: SyncOptions{Dial: e.dial}}).Observe(context.Background())
		e.serving.Wait()
		require.NoError(t, err)
		require.Equal(t, "applying", o.Condition)
		require.NotEmpty(t, o.Reasons)
		require.Equal(t, array.ReasonCode("applying"), o.Reasons[0].Code)
		w.must(doSync)
		require.NoError(t, w.settled())
	}
}
