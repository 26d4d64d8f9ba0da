package fault_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/blockdev/blockdevtest"
	"github.com/ddsgo/ddsgo/blockdev/fault"
	"github.com/ddsgo/ddsgo/blockdev/mem"
)

func TestConformanceWithoutFaults(t *testing.T) {
	blockdevtest.Run(t, func(*testing.T) blockdev.Device {
		return fault.New(mem.New("m", blockdevtest.MinSize))
	})
}

// script is a fixed run of operations: 3 writes, 1 zeroing, 2 syncs, 1 read, close.
func script(d blockdev.Device) error {
	data := make([]byte, 4096)
	for i := range data {
		data[i] = 'd'
	}
	for i := range int64(3) {
		if _, err := d.WriteAt(data, i*4096); err != nil {
			return err
		}
	}
	if err := d.Sync(); err != nil {
		return err
	}
	if err := d.ZeroAt(4096, 4096); err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return err
	}
	if _, err := d.ReadAt(data, 0); err != nil {
		return err
	}
	return d.Close()
}

func TestEveryOperationFailsInTurn(t *testing.T) {
	for _, c := range []struct {
		op   fault.Op
		want int
	}{{fault.Any, 8}, {fault.AnyChange, 6}, {fault.Write, 3}, {fault.Sync, 2}, {fault.Zero, 1}, {fault.Read, 1}, {fault.Close, 1}} {
		for _, mode := range []fault.Mode{fault.Before, fault.After, fault.Short} {
			failures := 0
			for n := 1; ; n++ {
				d := fault.New(mem.New("m", 64<<10), fault.Fault{Op: c.op, Nth: n, Mode: mode})
				err := script(d)
				if d.Injected() == 0 {
					require.NoError(t, err)
					break
				}
				require.ErrorIs(t, err, fault.ErrInjected)
				require.Equal(t, 1, d.Injected())
				failures++
			}
			require.Equal(t, c.want, failures, "%v, mode %d", c.op, mode)
		}
	}
}

func TestModes(t *testing.T) {
	data := make([]byte, 4096)
	for i := range data {
		data[i] = 'd'
	}
	for _, c := range []struct {
		name    string
		mode    fault.Mode
		fails   bool
		written int
	}{
		{"before", fault.Before, true, 0},
		{"after", fault.After, true, 4096},
		{"short", fault.Short, true, 2048},
		{"lost", fault.Lost, false, 0},
		{"flip", fault.Flip, false, 4095},
	} {
		t.Run(c.name, func(t *testing.T) {
			inner := mem.New("m", 8192)
			d := fault.New(inner, fault.Fault{Op: fault.Write, Nth: 1, Mode: c.mode})
			_, err := d.WriteAt(data, 0)
			require.Equal(t, c.fails, err != nil, "%v", err)
			n := 0
			for _, b := range inner.Content() {
				if b == 'd' {
					n++
				}
			}
			require.Equal(t, c.written, n)
			require.Equal(t, byte('d'), data[2048], "the caller's buffer must not change")
		})
	}
}

func TestPlaceErrorAndDeadDisk(t *testing.T) {
	bad := int64(10000)
	d := fault.New(mem.New("m", 64<<10), fault.Fault{Op: fault.Read, At: &bad, Err: unix.EIO})
	b := make([]byte, 4096)
	_, err := d.ReadAt(b, 0)
	require.NoError(t, err)
	for range 2 {
		_, err = d.ReadAt(b, 8192)
		require.ErrorIs(t, err, unix.EIO)
	}
	d.Heal()
	_, err = d.ReadAt(b, 8192)
	require.NoError(t, err)

	d = fault.New(mem.New("m", 64<<10), fault.Fault{Op: fault.AnyChange, Nth: 2, Stays: true})
	_, err = d.WriteAt(b, 0)
	require.NoError(t, err)
	require.Error(t, d.Sync())
	require.Error(t, d.Sync())
	require.Error(t, d.ZeroAt(0, 10))
	_, err = d.ReadAt(b, 0)
	require.NoError(t, err)
	require.Equal(t, 4, d.Count(fault.AnyChange))
	require.Equal(t, 1, d.Count(fault.Read))
	require.Equal(t, 3, d.Injected())
}

func TestFlippedRead(t *testing.T) {
	d := fault.New(mem.New("m", 4096), fault.Fault{Op: fault.Read, Nth: 1, Mode: fault.Flip})
	b := make([]byte, 100)
	_, err := d.ReadAt(b, 0)
	require.NoError(t, err)
	require.Equal(t, byte(0x10), b[50])
	_, err = d.ReadAt(b, 0)
	require.NoError(t, err)
	require.Equal(t, byte(0), b[50])
	require.False(t, errors.Is(err, fault.ErrInjected))
}
