package extent

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"
	"github.com/google/renameio/v2"
)

// WriteChangedSet writes the set of seq's extents to path and returns its identity. The file
// is written beside path, read back and compared, fsynced, renamed over path, and the
// directory is fsynced: after a crash at any instant there is the whole file, or what was
// there before. seq is read once; touching extents are joined; nothing is held in memory.
func WriteChangedSet(path string, h ChangedSetHeader, seq Seq) (SetID, error) {
	if err := h.Validate(); err != nil {
		return SetID{}, fmt.Errorf("changed set %s: %w", path, err)
	}
	tmp, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600), renameio.WithTempDir(filepath.Dir(path)))
	if err != nil {
		return SetID{}, fmt.Errorf("changed set %s: %w", path, err)
	}
	defer tmp.Cleanup() //nolint:errcheck // nothing to do about a temporary file that stays
	id, err := encodeChangedSet(tmp, h, seq)
	if err != nil {
		return SetID{}, fmt.Errorf("changed set %s: %w", path, err)
	}
	if err := readBack(tmp.File, id); err != nil {
		return SetID{}, fmt.Errorf("changed set %s: reading it back: %w", path, err)
	}
	if err := tmp.CloseAtomicallyReplace(); err != nil {
		return SetID{}, fmt.Errorf("changed set %s: %w", path, err)
	}
	if err := syncDirectory(filepath.Dir(path)); err != nil {
		return SetID{}, fmt.Errorf("changed set %s: %w", path, err)
	}
	return id, nil
}

// readBack proves that what was written can be read before anything depends on it.
func readBack(f *os.File, want SetID) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	back, err := ReadChangedSet(f, info.Size())
	if err != nil {
		return err
	}
	if back.Header.ID != want {
		return fmt.Errorf("identity %v, wrote %v: %w", back.Header.ID, want, ErrChecksum)
	}
	return nil
}

// syncDirectory makes a rename in dir durable.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// encodeChangedSet writes the format to w and returns the identity.
func encodeChangedSet(w io.Writer, h ChangedSetHeader, seq Seq) (SetID, error) {
	buf := bufio.NewWriterSize(w, MaxChangedSetBlock)
	enc := setEncoder{out: buf, digest: sha256.New(), h: h}
	enc.header()
	for e, err := range Coalesce(seq) {
		if err == nil {
			err = enc.extent(e)
		}
		if err != nil {
			return SetID{}, err
		}
	}
	id := enc.trailer()
	if err := buf.Flush(); err != nil {
		return SetID{}, err
	}
	return id, nil
}

// setEncoder gathers extents into blocks. Write errors stick in the bufio.Writer.
type setEncoder struct {
	out    *bufio.Writer
	digest hash.Hash
	h      ChangedSetHeader

	payload []byte
	inBlock uint32
	at      uint64 // chunk after the last extent
	extents uint64
	bytes   uint64
}

func (s *setEncoder) emit(b []byte) {
	s.digest.Write(b)
	_, _ = s.out.Write(b) // sticks; Flush reports it
}

func (s *setEncoder) header() {
	b := make([]byte, prefixBytes, 512)
	copy(b, changedSetMagic)
	b = appendHeader(b, s.h)
	binary.LittleEndian.PutUint32(b[8:], changedSetVersion)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(b)-prefixBytes))
	s.emit(binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b)))
	s.payload = make([]byte, 0, MaxChangedSetBlock)
}

func (s *setEncoder) extent(e Extent) error {
	if !e.Valid() || e.End() > s.h.Size {
		return fmt.Errorf("extent %v, volume of %d bytes: %w", e, s.h.Size, ErrOutside)
	}
	first, count, err := chunkRun(e, s.h)
	if err != nil {
		return err
	}
	if len(s.payload) > MaxChangedSetBlock-2*binary.MaxVarintLen64 {
		s.block()
	}
	s.payload = binary.AppendUvarint(s.payload, first-s.at)
	s.payload = binary.AppendUvarint(s.payload, count)
	s.at = first + count
	s.inBlock++
	s.extents++
	s.bytes += uint64(e.Len)
	return nil
}

// block writes the extents gathered so far.
func (s *setEncoder) block() {
	if s.inBlock == 0 {
		return
	}
	var head [blockHeadBytes]byte
	binary.LittleEndian.PutUint32(head[0:], uint32(len(s.payload)))
	binary.LittleEndian.PutUint32(head[4:], s.inBlock)
	sum := xxhash.New()
	_, _ = sum.Write(head[:])
	_, _ = sum.Write(s.payload)
	s.emit(head[:])
	s.emit(s.payload)
	s.emit(binary.LittleEndian.AppendUint64(nil, sum.Sum64()))
	s.payload, s.inBlock = s.payload[:0], 0
}

func (s *setEncoder) trailer() (id SetID) {
	s.block()
	end := make([]byte, blockHeadBytes, trailerBytes) // a block of nothing
	end = binary.LittleEndian.AppendUint64(end, s.extents)
	end = binary.LittleEndian.AppendUint64(end, s.bytes)
	s.emit(end)
	s.digest.Sum(id[:0])
	_, _ = s.out.Write(id[:])
	return id
}
