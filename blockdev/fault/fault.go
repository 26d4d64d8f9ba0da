package fault

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ddsgo/ddsgo/blockdev"
)

// ErrInjected is the error of a fault that names none of its own.
var ErrInjected = errors.New("injected fault")

// Op is a kind of operation.
type Op int

// The kinds. AnyChange is every write, zeroing and sync; Any is every operation.
const (
	Read Op = iota + 1
	Write
	Zero
	Sync
	Close
	AnyChange
	Any
)

// String is the name of the kind.
func (o Op) String() string {
	names := [...]string{"none", "read", "write", "zero", "sync", "close", "any change", "any"}
	if o < 0 || int(o) >= len(names) {
		return fmt.Sprintf("op(%d)", int(o))
	}
	return names[o]
}

func (o Op) matches(done Op) bool {
	switch o {
	case Any:
		return true
	case AnyChange:
		return done == Write || done == Zero || done == Sync
	}
	return o == done
}

// Mode is what a fault does to the operation.
type Mode int

const (
	// Before fails without doing anything.
	Before Mode = iota
	// After does all of it and then fails: the caller is told less than happened.
	After
	// Short does the first half (rounded down to sectors of 512 bytes where it is longer than
	// one) and then fails. For Sync and Close it is Before.
	Short
	// Lost does nothing and reports success: a disk that lies. Only reading back finds it.
	Lost
	// Flip does the operation with one bit changed: of what is read, or of what is written.
	Flip
)

// Fault makes one operation, or all from one on, fail.
type Fault struct {
	Op   Op
	Nth  int // the first is 1; 0 means every one
	Mode Mode
	Err  error
	// Stays makes all later matching operations fail too, as a dead disk does.
	Stays bool
	// At limits the fault to reads, writes and zeroings that touch this byte; nil: anywhere.
	At *int64
}

// Device passes operations on, except those that a fault is for.
type Device struct {
	inner blockdev.Device

	mu       sync.Mutex
	faults   []Fault
	seen     []int // matching operations, for each fault
	counts   map[Op]int
	injected int
}

var _ blockdev.Device = (*Device)(nil)

// New wraps inner. Without faults it only counts.
func New(inner blockdev.Device, faults ...Fault) *Device {
	return &Device{inner: inner, faults: faults, seen: make([]int, len(faults)), counts: map[Op]int{}}
}

// Count is the number of operations of a kind that were asked for so far.
func (d *Device) Count(op Op) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for done, c := range d.counts {
		if op.matches(done) {
			n += c
		}
	}
	return n
}

// Injected is the number of operations that a fault was applied to.
func (d *Device) Injected() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.injected
}

// Heal removes all faults.
func (d *Device) Heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults, d.seen = nil, nil
}

// strike counts an operation and returns the fault for it, if any.
func (d *Device) strike(op Op, off, length int64) (Fault, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts[op]++
	hit := -1
	for i, f := range d.faults {
		if !f.Op.matches(op) || (f.At != nil && length >= 0 && (*f.At < off || *f.At >= off+length)) {
			continue
		}
		d.seen[i]++
		if f.Nth == 0 || d.seen[i] == f.Nth || (f.Stays && d.seen[i] > f.Nth) {
			hit = i
		}
	}
	if hit < 0 {
		return Fault{}, false
	}
	d.injected++
	f := d.faults[hit]
	if f.Err == nil {
		f.Err = fmt.Errorf("%s: %v number %d: %w", d.inner.Name(), op, d.seen[hit], ErrInjected)
	}
	return f, true
}

func half(n int64) int64 {
	n /= 2
	if n > 512 {
		n -= n % 512
	}
	return n
}

// ReadAt reads from the wrapped device.
func (d *Device) ReadAt(p []byte, off int64) (int, error) {
	f, hit := d.strike(Read, off, int64(len(p)))
	if !hit {
		return d.inner.ReadAt(p, off)
	}
	switch f.Mode {
	case Before:
		return 0, f.Err
	case Short:
		n, err := d.inner.ReadAt(p[:half(int64(len(p)))], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
		return n, f.Err
	case Lost:
		clear(p) // a lost read is a read of nothing
		return len(p), nil
	}
	n, err := d.inner.ReadAt(p, off)
	if f.Mode == Flip {
		flip(p[:n])
		return n, err
	}
	return n, errors.Join(f.Err, err)
}

func flip(p []byte) {
	if len(p) > 0 {
		p[len(p)/2] ^= 0x10
	}
}

// WriteAt writes to the wrapped device.
func (d *Device) WriteAt(p []byte, off int64) (int, error) {
	f, hit := d.strike(Write, off, int64(len(p)))
	if !hit {
		return d.inner.WriteAt(p, off)
	}
	switch f.Mode {
	case Before:
		return 0, f.Err
	case Short:
		n, err := d.inner.WriteAt(p[:half(int64(len(p)))], off)
		return n, errors.Join(f.Err, err)
	case Lost:
		return len(p), blockdev.CheckRange(d.Name(), off, int64(len(p)), d.Size())
	case Flip:
		damaged := append([]byte(nil), p...)
		flip(damaged)
		return d.inner.WriteAt(damaged, off)
	}
	n, err := d.inner.WriteAt(p, off)
	return n, errors.Join(f.Err, err)
}

// ZeroAt zeroes on the wrapped device.
func (d *Device) ZeroAt(off, length int64) error {
	f, hit := d.strike(Zero, off, length)
	if !hit {
		return d.inner.ZeroAt(off, length)
	}
	switch f.Mode {
	case Before:
		return f.Err
	case Short:
		return errors.Join(f.Err, d.inner.ZeroAt(off, half(length)))
	case Lost, Flip:
		return blockdev.CheckRange(d.Name(), off, length, d.Size())
	}
	return errors.Join(f.Err, d.inner.ZeroAt(off, length))
}

// Sync syncs the wrapped device.
func (d *Device) Sync() error {
	f, hit := d.strike(Sync, 0, -1)
	switch {
	case !hit || f.Mode == Flip:
		return d.inner.Sync()
	case f.Mode == Lost:
		return nil
	case f.Mode == After:
		return errors.Join(f.Err, d.inner.Sync())
	}
	return f.Err
}

// Close always closes the wrapped device; a fault only changes what is reported.
func (d *Device) Close() error {
	err := d.inner.Close()
	if f, hit := d.strike(Close, 0, -1); hit && f.Mode != Lost {
		return errors.Join(f.Err, err)
	}
	return err
}

// Size is the wrapped device's.
func (d *Device) Size() int64 { return d.inner.Size() }

// Name is the wrapped device's.
func (d *Device) Name() string { return d.inner.Name() }
