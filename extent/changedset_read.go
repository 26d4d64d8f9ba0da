package extent

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/cespare/xxhash/v2"
)

// ChangedSet is a verified changed-set file, open for reading its extents.
type ChangedSet struct {
	Header ChangedSetHeader
	// Count and Bytes are the number of extents and of the bytes in them.
	Count int64
	Bytes int64

	r      io.ReaderAt
	size   int64 // of the file
	blocks int64 // offset of the first block
	closer io.Closer
}

// OpenChangedSet opens a changed-set file and reads all of it once: header, order, bounds,
// checksums, counts and identity are verified before anything is returned.
func OpenChangedSet(path string) (*ChangedSet, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("changed set: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("not a regular file: %w", ErrNotChangedSet)
	}
	var s *ChangedSet
	if err == nil {
		s, err = ReadChangedSet(f, info.Size())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("changed set %s: %w", path, err), f.Close())
	}
	s.closer = f
	return s, nil
}

// ReadChangedSet is OpenChangedSet for a file of size bytes that the caller holds open.
func ReadChangedSet(r io.ReaderAt, size int64) (*ChangedSet, error) {
	s := &ChangedSet{r: r, size: size}
	head, err := s.readHeader()
	if err != nil {
		return nil, err
	}
	digest := sha256.New()
	digest.Write(head)
	v := setDecoder{set: s, digest: digest, at: s.blocks}
	for v.next() {
		if err := v.extents(func(e Extent) bool {
			s.Count++
			s.Bytes += e.Len
			return true
		}); err != nil {
			return nil, err
		}
	}
	if v.err != nil {
		return nil, v.err
	}
	if uint64(s.Count) != v.wantCount || uint64(s.Bytes) != v.wantBytes {
		return nil, fmt.Errorf("%d extents of %d bytes, the trailer says %d of %d: %w",
			s.Count, s.Bytes, v.wantCount, v.wantBytes, ErrMalformed)
	}
	s.Header.ID = v.id
	return s, nil
}

// Extents is the set in ascending order. It can be ranged over any number of times; each
// time every block is verified again, so a file that changes underneath is an error.
func (s *ChangedSet) Extents() Seq {
	return func(yield func(Extent, error) bool) {
		v := setDecoder{set: s, at: s.blocks}
		stopped := false
		for !stopped && v.next() {
			err := v.extents(func(e Extent) bool {
				stopped = !yield(e, nil)
				return !stopped
			})
			if err != nil {
				v.err = err
				break
			}
		}
		if !stopped && v.err == nil && v.id != s.Header.ID {
			v.err = fmt.Errorf("identity is %v, was %v: %w", v.id, s.Header.ID, ErrChecksum)
		}
		if !stopped && v.err != nil {
			yield(Extent{}, v.err)
		}
	}
}

// Close closes the file.
func (s *ChangedSet) Close() error {
	if s.closer == nil {
		return nil
	}
	return s.closer.Close()
}

// readHeader reads and checks everything before the first block, and returns its bytes.
func (s *ChangedSet) readHeader() ([]byte, error) {
	prefix := make([]byte, prefixBytes)
	if err := s.read(prefix, 0); err != nil {
		if errors.Is(err, ErrTruncated) {
			return nil, fmt.Errorf("file of %d bytes: %w", s.size, ErrNotChangedSet)
		}
		return nil, err
	}
	if string(prefix[:8]) != changedSetMagic {
		return nil, fmt.Errorf("begins with %q, want %q: %w", prefix[:8], changedSetMagic, ErrNotChangedSet)
	}
	if v := binary.LittleEndian.Uint32(prefix[8:]); v != changedSetVersion {
		return nil, fmt.Errorf("version %d, this ddsgo reads %d: %w", v, changedSetVersion, ErrVersion)
	}
	n := binary.LittleEndian.Uint32(prefix[12:])
	if n > MaxChangedSetHeader {
		return nil, fmt.Errorf("header of %d bytes, at most %d: %w", n, MaxChangedSetHeader, ErrLimit)
	}
	head := make([]byte, prefixBytes+int(n)+sumBytes)
	if err := s.read(head, 0); err != nil {
		return nil, err
	}
	body := head[:prefixBytes+int(n)]
	if binary.LittleEndian.Uint64(head[len(body):]) != xxhash.Sum64(body) {
		return nil, fmt.Errorf("header: %w", ErrChecksum)
	}
	h, err := decodeHeader(body[prefixBytes:])
	if err != nil {
		return nil, err
	}
	s.Header, s.blocks = h, int64(len(head))
	return head, nil
}

// read fills p from the file's offset off.
func (s *ChangedSet) read(p []byte, off int64) error {
	if off+int64(len(p)) > s.size {
		return fmt.Errorf("%d bytes wanted at %d, the file has %d: %w", len(p), off, s.size, ErrTruncated)
	}
	n, err := s.r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%d of %d bytes at %d: %w", n, len(p), off, ErrTruncated)
	}
	return err
}

// setDecoder walks the blocks of a changed set.
type setDecoder struct {
	set    *ChangedSet
	digest hash.Hash // nil when only the blocks' own checksums are wanted
	at     int64     // offset in the file
	chunk  uint64    // chunk after the last extent
	any    bool      // an extent was seen
	buf    []byte
	count  uint32 // extents in the present block

	id                   SetID
	wantCount, wantBytes uint64
	err                  error
}

// next reads and verifies the next block; false at the trailer, which it checks, and on error.
func (v *setDecoder) next() bool {
	var head [blockHeadBytes]byte
	if v.err = v.set.read(head[:], v.at); v.err != nil {
		return false
	}
	n := binary.LittleEndian.Uint32(head[0:])
	v.count = binary.LittleEndian.Uint32(head[4:])
	if n == 0 && v.count == 0 {
		v.err = v.trailer()
		return false
	}
	if n > MaxChangedSetBlock || uint64(v.count)*2 > uint64(n) || v.count == 0 {
		v.err = fmt.Errorf("block of %d bytes, %d extents: %w", n, v.count, ErrLimit)
		return false
	}
	whole := blockHeadBytes + int(n) + sumBytes
	if cap(v.buf) < whole {
		v.buf = make([]byte, blockHeadBytes+MaxChangedSetBlock+sumBytes)
	}
	v.buf = v.buf[:whole]
	if v.err = v.set.read(v.buf, v.at); v.err != nil {
		return false
	}
	body := v.buf[:whole-sumBytes]
	if binary.LittleEndian.Uint64(v.buf[len(body):]) != xxhash.Sum64(body) {
		v.err = fmt.Errorf("block at %d: %w", v.at, ErrChecksum)
		return false
	}
	if v.digest != nil {
		v.digest.Write(v.buf)
	}
	v.at += int64(whole)
	return true
}

// extents decodes the present block.
func (v *setDecoder) extents(yield func(Extent) bool) error {
	payload := v.buf[blockHeadBytes : len(v.buf)-sumBytes]
	at, _, err := decodeRuns(payload, v.count, v.chunk, !v.any, v.set.Header, yield)
	v.chunk, v.any = at, true
	if err != nil {
		return fmt.Errorf("block before %d: %w", v.at, err)
	}
	return nil
}

func (v *setDecoder) trailer() error {
	end := make([]byte, trailerBytes)
	if err := v.set.read(end, v.at); err != nil {
		return err
	}
	v.wantCount = binary.LittleEndian.Uint64(end[blockHeadBytes:])
	v.wantBytes = binary.LittleEndian.Uint64(end[blockHeadBytes+8:])
	copy(v.id[:], end[trailerBytes-sha256.Size:])
	if v.digest != nil {
		v.digest.Write(end[:trailerBytes-sha256.Size])
		if got := SetID(v.digest.Sum(nil)); got != v.id {
			return fmt.Errorf("identity %v, content gives %v: %w", v.id, got, ErrChecksum)
		}
	}
	if rest := v.set.size - v.at - trailerBytes; rest != 0 {
		return fmt.Errorf("%d bytes: %w", rest, ErrTrailing)
	}
	return nil
}
