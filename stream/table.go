package stream

import (
	"encoding/binary"
	"fmt"

	"github.com/ddsgo/ddsgo/extent"
)

// appendTable appends the extent table of a frame: both lists merged by offset. It returns
// where the last extent ends and how many entries there are.
func appendTable(b []byte, data, zeros []extent.Extent, end, limit int64) ([]byte, int64, uint32, error) {
	prev, entries := int64(0), uint32(0)
	for len(data)+len(zeros) > 0 {
		var e extent.Extent
		e, z := next(&data, &zeros)
		for len(data)+len(zeros) > 0 { // neighbours of one kind become one entry
			list := &data
			if z == 1 {
				list = &zeros
			}
			if len(*list) == 0 || (*list)[0].Off != e.End() {
				break
			}
			e.Len += (*list)[0].Len
			*list = (*list)[1:]
		}
		if e.Off < end || e.Off < prev || e.Len <= 0 || e.Len > limit-e.Off {
			return b, 0, 0, fmt.Errorf("extent %v: outside the volume of %d bytes, or before byte %d: %w", e, limit, max(prev, end), ErrExtent)
		}
		b = binary.AppendUvarint(b, uint64(e.Off-prev))
		b = binary.AppendUvarint(b, uint64(e.Len)<<1|z)
		prev = e.End()
		entries++
	}
	if entries == 0 || entries > MaxExtents {
		return b, 0, 0, fmt.Errorf("frame with %d extents: %w", entries, ErrLimit)
	}
	return b, prev, entries, nil
}

// next takes the extent with the lower offset from the two lists; z is 1 for zeros.
func next(data, zeros *[]extent.Extent) (e extent.Extent, z uint64) {
	list := data
	if len(*data) == 0 || (len(*zeros) > 0 && (*zeros)[0].Off < (*data)[0].Off) {
		list, z = zeros, 1
	}
	e = (*list)[0]
	*list = (*list)[1:]
	return e, z
}

// appendBases appends the base table.
func appendBases(b []byte, bases []Base) []byte {
	prev := int64(0)
	for _, base := range bases {
		b = binary.AppendUvarint(b, uint64(base.Extent.Off-prev))
		b = binary.AppendUvarint(b, uint64(base.Extent.Len))
		b = append(b, base.Sum[:]...)
		prev = base.Extent.End()
	}
	return b
}

// parseTable reads the tables of a frame into its slices and returns the end of the last
// extent.
func (f *Frame) parseTable(p []byte, s frameSizes, end, limit int64) (int64, error) {
	f.Extents, f.Zeros, f.Bases = f.Extents[:0], f.Zeros[:0], f.Bases[:0]
	var last extent.Extent
	lastZ, sum := uint64(2), int64(0)
	for range s.entries {
		e, z, n, err := parseEntry(p, last.End(), 1, limit)
		if err != nil {
			return 0, err
		}
		switch {
		case e.Off < end:
			return 0, fmt.Errorf("%v begins before byte %d", e, end)
		case e.Off == last.End() && z == lastZ:
			return 0, fmt.Errorf("%v continues the entry before", e)
		}
		p, last, lastZ = p[n:], e, z
		if z == 1 {
			f.Zeros = append(f.Zeros, e)
			continue
		}
		f.Extents = append(f.Extents, e)
		sum += e.Len
	}
	if sum != int64(f.RawLen) || (len(f.Zeros) > 0) != (f.Flags&FlagZero != 0) {
		return 0, fmt.Errorf("extents of %d bytes for content of %d", sum, f.RawLen)
	}
	return last.End(), f.parseBases(p, s.bases, limit)
}

func (f *Frame) parseBases(p []byte, count int, limit int64) error {
	prev := int64(0)
	for range count {
		e, _, n, err := parseEntry(p, prev, 0, limit)
		if err != nil {
			return err
		}
		p = p[n:]
		b := Base{Extent: e}
		if len(p) < len(b.Sum) {
			return fmt.Errorf("base table too short")
		}
		copy(b.Sum[:], p)
		p, prev = p[len(b.Sum):], e.End()
		f.Bases = append(f.Bases, b)
	}
	if len(p) != 0 {
		return fmt.Errorf("%d bytes after the tables", len(p))
	}
	if count > 0 && (!covered(f.Extents, f.Bases) || !covered(f.Zeros, f.Bases)) {
		return fmt.Errorf("an extent is outside the base ranges")
	}
	return nil
}

// parseEntry reads one gap and length; zbits low bits of the length are returned in z.
func parseEntry(p []byte, prev int64, zbits uint, limit int64) (e extent.Extent, z uint64, n int, err error) {
	gap, n1 := shortest(p)
	if n1 == 0 {
		return e, 0, 0, fmt.Errorf("bad number in the table")
	}
	length, n2 := shortest(p[n1:])
	if n2 == 0 {
		return e, 0, 0, fmt.Errorf("bad number in the table")
	}
	z = length & (1<<zbits - 1)
	length >>= zbits
	if gap > uint64(limit-prev) || length == 0 || length > uint64(limit-prev)-gap {
		return e, 0, 0, fmt.Errorf("%d bytes, %d after byte %d, in a volume of %d bytes", length, gap, prev, limit)
	}
	return extent.Extent{Off: prev + int64(gap), Len: int64(length)}, z, n1 + n2, nil
}

// shortest reads a varint in its shortest form; n = 0 says that it is none.
func shortest(p []byte) (v uint64, n int) {
	v, n = binary.Uvarint(p)
	if n <= 0 || (n > 1 && p[n-1] == 0) {
		return 0, 0
	}
	return v, n
}

// covered says that every extent lies inside the union of the ranges; both ascend.
func covered(extents []extent.Extent, bases []Base) bool {
	i := 0
	for _, e := range extents {
		at := e.Off
		for at < e.End() {
			for i < len(bases) && bases[i].Extent.End() <= at {
				i++
			}
			if i == len(bases) || bases[i].Extent.Off > at {
				return false
			}
			at = bases[i].Extent.End()
		}
	}
	return true
}
