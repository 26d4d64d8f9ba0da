package infinibox

import (
	"bytes"
	"maps"
)

// content is what a dataset holds. Bytes never written read as zero.
type content interface {
	readAt(p []byte, off int64) error
	writeAt(p []byte, off int64) error
	// clone returns an independent copy.
	clone(name string) (content, error)
	// copyFrom makes this content equal to src.
	copyFrom(src content) error
	// equal reports whether both hold the same bytes.
	equal(other content) (bool, error)
	// empty reports whether all bytes are zero.
	empty() (bool, error)
	resize(size int64) error
	rename(name string) error
	remove() error
	// mark changes whenever the content may have changed.
	mark() (int64, error)
	// stored is how many bytes are really kept.
	stored() int64
}

// contentStore makes contents: in memory, or as sparse files.
type contentStore interface {
	create(box, name string, size int64) (content, error)
	reset() error
}

const blockSize = 4096

// memory keeps blocks that are replaced, never changed: clones share them.
type memory struct {
	blocks  map[int64][]byte
	version int64
}

type memoryStore struct{}

func (memoryStore) create(string, string, int64) (content, error) {
	return &memory{blocks: make(map[int64][]byte)}, nil
}

func (memoryStore) reset() error { return nil }

func (m *memory) readAt(p []byte, off int64) error {
	for n := 0; n < len(p); {
		at := off + int64(n)
		i, in := at/blockSize, int(at%blockSize)
		part := p[n:min(len(p), n+blockSize-in)]
		if b, ok := m.blocks[i]; ok {
			copy(part, b[in:])
		} else {
			clear(part)
		}
		n += len(part)
	}
	return nil
}

func (m *memory) writeAt(p []byte, off int64) error {
	for n := 0; n < len(p); {
		at := off + int64(n)
		i, in := at/blockSize, int(at%blockSize)
		b := make([]byte, blockSize)
		copy(b, m.blocks[i])
		done := copy(b[in:], p[n:])
		m.blocks[i] = b
		n += done
	}
	m.version++
	return nil
}

func (m *memory) clone(string) (content, error) {
	return &memory{blocks: maps.Clone(m.blocks)}, nil
}

func (m *memory) copyFrom(src content) error {
	m.blocks = maps.Clone(src.(*memory).blocks)
	m.version++
	return nil
}

func (m *memory) equal(other content) (bool, error) {
	o := other.(*memory)
	return m.within(o) && o.within(m), nil
}

// within reports whether o holds every block of m that is not zero.
func (m *memory) within(o *memory) bool {
	zero := make([]byte, blockSize)
	for i, b := range m.blocks {
		other, ok := o.blocks[i]
		if !ok {
			other = zero
		}
		if !bytes.Equal(b, other) {
			return false
		}
	}
	return true
}

func (m *memory) empty() (bool, error) {
	return m.within(&memory{}), nil
}

func (m *memory) resize(int64) error  { return nil }
func (m *memory) rename(string) error { return nil }
func (m *memory) remove() error       { m.blocks = nil; return nil }

func (m *memory) mark() (int64, error) { return m.version, nil }
func (m *memory) stored() int64        { return int64(len(m.blocks)) * blockSize }
