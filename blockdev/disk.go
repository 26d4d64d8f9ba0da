package blockdev

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Disk is a block device or a regular file on Linux.
type Disk struct {
	name    string
	size    int64
	isBlock bool
	write   bool
	sector  int // logical sector size

	file   *os.File // page cache; always open
	direct *os.File // O_DIRECT for reads; nil without
	align  int64    // of direct reads
	pool   *bufferPool

	closeOnce sync.Once
	closeErr  error

	noZeroRange atomic.Bool // this device refused FALLOC_FL_ZERO_RANGE
	noPunch     atomic.Bool // this file refused FALLOC_FL_PUNCH_HOLE
}

var _ Device = (*Disk)(nil)

// Open opens the block device or regular file at path.
func Open(path string, o Options) (*Disk, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	d := &Disk{name: path, write: o.Write}
	if err := d.open(o); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Disk) open(o Options) error {
	kind, err := kindOf(d.name)
	if errors.Is(err, ErrNotFound) && o.Create > 0 {
		if err := createFile(d.name, o.Create); err != nil {
			return err
		}
		kind, err = kindOf(d.name)
	}
	if err != nil {
		return err
	}
	d.isBlock = kind == kindBlock
	flags := os.O_RDONLY
	if o.Write {
		flags = os.O_RDWR
	}
	if o.Exclusive && d.isBlock {
		flags |= unix.O_EXCL
	}
	d.file, err = os.OpenFile(d.name, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return d.openError(err)
	}
	if err := d.geometry(); err != nil {
		return err
	}
	if o.Direct {
		return d.openDirect()
	}
	return nil
}

func (d *Disk) openError(err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%s: %w: %w", d.name, ErrInUse, err)
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EPERM):
		return fmt.Errorf("%s: %w: %w", d.name, ErrReadOnly, err)
	}
	return err // *os.PathError names the path
}

// geometry asks for size and sector size, of the opened descriptor, not of the path again.
func (d *Disk) geometry() error {
	info, err := d.file.Stat()
	if err != nil {
		return err
	}
	if isBlock := info.Mode()&os.ModeDevice != 0; isBlock != d.isBlock {
		return fmt.Errorf("%s: changed while it was opened: %w", d.name, ErrNotVolume)
	}
	d.sector = 512
	d.size = info.Size()
	if d.isBlock {
		fd := int(d.file.Fd())
		if d.sector, err = unix.IoctlGetInt(fd, unix.BLKSSZGET); err != nil {
			return fmt.Errorf("%s: sector size: %w", d.name, err)
		}
		if d.write {
			// Linux opens a device that is set read-only for writing, and refuses the first write.
			if ro, err := unix.IoctlGetInt(fd, unix.BLKROGET); err != nil || ro != 0 {
				return errors.Join(fmt.Errorf("%s: %w", d.name, ErrReadOnly), err)
			}
		}
		// BLKGETSIZE64 by way of lseek: the same figure, without a pointer to pass.
		if d.size, err = d.file.Seek(0, io.SeekEnd); err != nil {
			return fmt.Errorf("%s: size: %w", d.name, err)
		}
	}
	if d.size <= 0 {
		return fmt.Errorf("%s: %w", d.name, ErrEmpty)
	}
	return nil
}

// openDirect opens the second descriptor through /proc, so that it is the same device even
// if the path was renamed or replaced meanwhile.
func (d *Disk) openDirect() error {
	self := fmt.Sprintf("/proc/self/fd/%d", d.file.Fd())
	f, err := os.OpenFile(self, os.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil && !d.isBlock && errors.Is(err, unix.EINVAL) {
		return nil // a file system without O_DIRECT: a file has one page cache, never a stale one
	}
	if err != nil {
		return fmt.Errorf("%s: open for direct reads: %w", d.name, errors.Unwrap(err))
	}
	d.direct = f
	d.align = max(directAlignment, int64(d.sector))
	d.pool = newBufferPool(int(d.align))
	return nil
}

// Size is the capacity in bytes, as it was when the device was opened.
func (d *Disk) Size() int64 { return d.size }

// Name is the path as the user gave it.
func (d *Disk) Name() string { return d.name }

// IsBlock says that the disk is a block device, not a file.
func (d *Disk) IsBlock() bool { return d.isBlock }

// SectorSize is the logical sector size in bytes.
func (d *Disk) SectorSize() int { return d.sector }

// Direct says that reads bypass the page cache.
func (d *Disk) Direct() bool { return d.direct != nil }

// File is the descriptor, for ioctls and advice. It is closed with the disk.
func (d *Disk) File() *os.File { return d.file }

// ReadAt reads at any offset and length.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, CheckRange(d.name, off, int64(len(p)), d.size)
	}
	want := int64(len(p))
	if off >= d.size {
		if want == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	inside := min(want, d.size-off)
	n, err := d.readInside(p[:inside], off)
	if err == nil && inside < want {
		err = io.EOF
	}
	return n, err
}

func (d *Disk) readInside(p []byte, off int64) (int, error) {
	n, err := 0, error(nil)
	if d.direct != nil {
		n, err = d.readDirect(p, off)
	} else {
		n, err = d.file.ReadAt(p, off)
	}
	if errors.Is(err, os.ErrClosed) {
		return n, fmt.Errorf("%s: %w", d.name, ErrClosed)
	}
	if errors.Is(err, io.EOF) && n < len(p) {
		// The file or device shrank since it was opened.
		return n, fmt.Errorf("%s: ends at %d, had %d bytes: %w", d.name, off+int64(n), d.size, io.ErrUnexpectedEOF)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("%s: read %d bytes at %d: %w", d.name, len(p), off, err)
	}
	return n, nil
}

// WriteAt writes all of p. It is durable after Sync.
func (d *Disk) WriteAt(p []byte, off int64) (int, error) {
	if err := d.checkWrite(off, int64(len(p))); err != nil {
		return 0, err
	}
	n, err := d.file.WriteAt(p, off)
	if err != nil {
		return n, d.writeError("write", off, int64(len(p)), err)
	}
	return n, nil
}

func (d *Disk) checkWrite(off, length int64) error {
	if !d.write {
		return fmt.Errorf("%s: opened for reading: %w", d.name, ErrReadOnly)
	}
	return CheckRange(d.name, off, length, d.size)
}

func (d *Disk) writeError(what string, off, length int64, err error) error {
	switch {
	case errors.Is(err, os.ErrClosed):
		err = ErrClosed
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EROFS):
		err = fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return fmt.Errorf("%s: %s %d bytes at %d: %w", d.name, what, length, off, err)
}

// Sync makes what was written durable: fsync, which also flushes a block device's own cache.
func (d *Disk) Sync() error {
	if err := d.file.Sync(); err != nil {
		if errors.Is(err, os.ErrClosed) {
			err = ErrClosed
		}
		return fmt.Errorf("%s: sync: %w", d.name, err)
	}
	return nil
}

// Close closes the device. It does not sync.
func (d *Disk) Close() error {
	d.closeOnce.Do(func() {
		for _, f := range []*os.File{d.direct, d.file} {
			if f != nil {
				d.closeErr = errors.Join(d.closeErr, f.Close())
			}
		}
	})
	return d.closeErr
}

// FlushBuffers writes back and drops the page cache of a block device (BLKFLSBUF): buffered
// reads after it are fresh. Other openers are not disturbed.
func (d *Disk) FlushBuffers() error {
	if !d.isBlock {
		return fmt.Errorf("%s: %w", d.name, ErrNotBlock)
	}
	if err := unix.IoctlSetInt(int(d.file.Fd()), unix.BLKFLSBUF, 0); err != nil {
		return fmt.Errorf("%s: flush buffers: %w", d.name, err)
	}
	return nil
}

// createFile makes a sparse file of size bytes, durable with its directory entry.
func createFile(path string, size int64) error {
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil && inDevFS(dir) {
		// A mistyped device name must not become a file in memory that looks like a success.
		return fmt.Errorf("%s: %w; files are not created under /dev", path, ErrNotFound)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	err = f.Truncate(size)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func inDevFS(dir string) bool {
	return dir == "/dev" || (strings.HasPrefix(dir, "/dev/") && dir != "/dev/shm" && !strings.HasPrefix(dir, "/dev/shm/"))
}
