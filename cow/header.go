package cow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The on-disk format: struct disk_header and struct disk_exception of the kernel's
// drivers/md/dm-snap-persistent.c, little-endian.
const (
	magic          = 0x70416e53 // "SnAp"
	diskVersion    = 1
	headerBytes    = 16
	exceptionBytes = 16
	sectorBytes    = 512

	// MinChunkSize and MaxChunkSize are the chunk sizes that LVM makes.
	MinChunkSize = 4 << 10
	MaxChunkSize = 512 << 10
)

// Header is the header of a store.
type Header struct {
	Valid     bool  // false after an overflow
	Version   int   // 1
	ChunkSize int64 // bytes
}

// PerArea is the number of exceptions in one area of the table, which is one chunk.
func (h Header) PerArea() int64 { return h.ChunkSize / exceptionBytes }

// AreaOffset is where area number area (0, 1, ...) begins: after the header chunk, each
// area is followed by the chunks that its exceptions point to.
func (h Header) AreaOffset(area int64) int64 { return (1 + area*(h.PerArea()+1)) * h.ChunkSize }

// Offset is where a chunk, old in the volume or new in the store, begins.
func (h Header) Offset(chunk uint64) int64 { return int64(chunk) * h.ChunkSize }

// InUse turns what device-mapper's status says of a snapshot ("allocated/total metadata",
// in sectors of 512 bytes) into the number of exceptions and of areas in use. The number of
// exceptions includes those whose copy is still under way; see Options.Settle.
func (h Header) InUse(allocatedSectors, metadataSectors int64) (exceptions, areas int64, err error) {
	chunk := h.ChunkSize / sectorBytes
	if metadataSectors < 2*chunk || metadataSectors%chunk != 0 || allocatedSectors < metadataSectors || allocatedSectors%chunk != 0 {
		return 0, 0, fmt.Errorf("%d sectors in use, %d of metadata, chunks of %d: impossible",
			allocatedSectors, metadataSectors, chunk)
	}
	areas = metadataSectors/chunk - 1
	exceptions = (allocatedSectors - metadataSectors) / chunk
	// The kernel steps over the next area's chunk before it counts it as metadata.
	return min(exceptions, areas*h.PerArea()), areas, nil
}

// ReadHeader reads and checks the header of a store of size bytes. For an invalid snapshot
// it returns the header together with ErrInvalid, so that the store can still be inspected.
func ReadHeader(r io.ReaderAt, size int64) (Header, error) {
	var b [headerBytes]byte
	if size < headerBytes {
		return Header{}, fmt.Errorf("store of %d bytes: %w", size, ErrTruncated)
	}
	if err := readFull(r, b[:], 0); err != nil {
		return Header{}, fmt.Errorf("header: %w", err)
	}
	if m := binary.LittleEndian.Uint32(b[0:]); m != magic {
		return Header{}, fmt.Errorf("begins with 0x%08x, want 0x%08x: %w", m, uint32(magic), ErrNotCOW)
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != diskVersion {
		return Header{}, fmt.Errorf("version %d, want %d: %w", v, diskVersion, ErrVersion)
	}
	sectors := int64(binary.LittleEndian.Uint32(b[12:]))
	h := Header{
		Valid:     binary.LittleEndian.Uint32(b[4:]) != 0,
		Version:   diskVersion,
		ChunkSize: sectors * sectorBytes,
	}
	if h.ChunkSize < MinChunkSize || h.ChunkSize > MaxChunkSize || sectors&(sectors-1) != 0 {
		return Header{}, fmt.Errorf("chunks of %d sectors: %w", sectors, ErrChunkSize)
	}
	if !h.Valid {
		return h, ErrInvalid
	}
	return h, nil
}

// readFull fills p. A store that ends early is ErrTruncated; other errors pass through.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%d of %d bytes at %d: %w", n, len(p), off, ErrTruncated)
	}
	return err
}
