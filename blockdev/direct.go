package blockdev

import (
	"errors"
	"io"
	"sync"
	"unsafe"
)

const (
	// directAlignment of offset, length and memory satisfies every sector size in use.
	directAlignment = 4096
	// bounceBytes is the size of a buffer for reads that are not aligned.
	bounceBytes = 256 << 10
)

// bufferPool holds aligned buffers. A buffer belongs to whoever got it until it is put back.
type bufferPool struct {
	pool sync.Pool
}

func newBufferPool(align int) *bufferPool {
	return &bufferPool{pool: sync.Pool{New: func() any {
		b := AlignedBuffer(bounceBytes, align)
		return &b
	}}}
}

// AlignedBuffer is a buffer of size bytes whose address is a multiple of align, a power of
// two: what a direct read can fill without a copy.
func AlignedBuffer(size, align int) []byte {
	raw := make([]byte, size+align)
	skip := 0
	if rest := int(addressOf(raw) & uintptr(align-1)); rest != 0 {
		skip = align - rest
	}
	return raw[skip : skip+size : skip+size]
}

// addressOf is the address of b's first byte. Go does not move heap objects, and the value
// is only ever tested for alignment.
func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// readDirect reads through O_DIRECT: straight into p where everything is aligned, else
// through a pooled buffer.
func (d *Disk) readDirect(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		at, rest := off+int64(done), p[done:]
		var n int
		var err error
		if whole := int64(len(rest)) &^ (d.align - 1); whole > 0 && at&(d.align-1) == 0 &&
			addressOf(rest)&uintptr(d.align-1) == 0 {
			n, err = d.direct.ReadAt(rest[:whole], at)
		} else {
			n, err = d.readBounced(rest, at)
		}
		done += n
		if err != nil && (!errors.Is(err, io.EOF) || done < len(p)) {
			return done, err
		}
	}
	return done, nil
}

// readBounced reads the part of p that fits into one buffer.
func (d *Disk) readBounced(p []byte, off int64) (int, error) {
	held := d.pool.pool.Get().(*[]byte)
	defer d.pool.pool.Put(held)
	start := off &^ (d.align - 1)
	end := min(off+int64(len(p)), start+int64(len(*held)))
	up := (end + d.align - 1) &^ (d.align - 1)
	// At the device's end the kernel returns what there is.
	n, err := d.direct.ReadAt((*held)[:up-start], start)
	got := (*held)[:n]
	if int64(n) <= off-start {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	copied := copy(p[:end-off], got[off-start:])
	if int64(copied) == end-off {
		return copied, nil
	}
	return copied, err
}
