package blockdev

import (
	"errors"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// zeroes is what is written where nothing faster works.
var zeroes [256 << 10]byte //nolint:gochecknoglobals // read only

// ZeroAt makes [off, off+length) read as zeros.
func (d *Disk) ZeroAt(off, length int64) error {
	if err := d.checkWrite(off, length); err != nil {
		return err
	}
	// A block device zeroes whole sectors only; the ends that are not are written.
	end := off + length
	if d.isBlock {
		sector := int64(d.sector)
		first, last := (off+sector-1)&^(sector-1), end&^(sector-1)
		if first >= last {
			return d.writeZeros(off, end)
		}
		if err := d.writeZeros(off, first); err != nil {
			return err
		}
		if err := d.writeZeros(last, end); err != nil {
			return err
		}
		off, end = first, last
	}
	if off == end {
		return nil
	}
	if done, err := d.tryFallocate(&d.noZeroRange, unix.FALLOC_FL_ZERO_RANGE, off, end); done || err != nil {
		return err
	}
	if !d.isBlock {
		if done, err := d.tryFallocate(&d.noPunch, unix.FALLOC_FL_PUNCH_HOLE, off, end); done || err != nil {
			return err
		}
	}
	return d.writeZeros(off, end)
}

// tryFallocate reports false, without an error, where the device cannot do it, and remembers.
func (d *Disk) tryFallocate(refused *atomic.Bool, mode uint32, off, end int64) (bool, error) {
	if refused.Load() {
		return false, nil
	}
	var err error
	for {
		err = unix.Fallocate(int(d.file.Fd()), mode|unix.FALLOC_FL_KEEP_SIZE, off, end-off)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL),
		errors.Is(err, unix.ENODEV), errors.Is(err, unix.EREMOTEIO):
		refused.Store(true)
		return false, nil
	}
	return false, d.writeError("zero", off, end-off, err)
}

func (d *Disk) writeZeros(off, end int64) error {
	for off < end {
		n := min(end-off, int64(len(zeroes)))
		if _, err := d.file.WriteAt(zeroes[:n], off); err != nil {
			return d.writeError("write zeros", off, n, err)
		}
		off += n
	}
	return nil
}
