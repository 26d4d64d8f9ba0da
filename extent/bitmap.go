package extent

import (
	"fmt"
	"iter"
	"math/bits"
)

const (
	// A page of a bitmap covers 4096 granules: 16 MiB of a volume of 4 KiB chunks. Scattered
	// changes cost one page each, so pages are small; they are allocated by the slab.
	pageShift       = 12
	pageMask        = 1<<pageShift - 1
	bitmapPageBytes = 1 << pageShift / 8
	pageWords       = bitmapPageBytes / 8
	slabPages       = 8 << 10 / bitmapPageBytes

	// directoryPages is how many pages one directory points to.
	directoryPages = 1 << directoryShift
	directoryShift = 10

	// maxDirectories bounds the table of directories to 16 MiB, and with it the volume to
	// 2^43 granules: 32 PiB at 4 KiB.
	maxDirectories = 1 << 21
)

type bitmapPage [pageWords]uint64

type bitmapDirectory [directoryPages]*bitmapPage

// Bitmap is a set of granules (chunks) of a volume, one bit each, in pages that exist only
// where a bit is set: memory follows what changed, order and coalescing are free.
// It is not safe for concurrent use.
type Bitmap struct {
	granule     int64
	size        int64
	granules    int64
	count       int64
	directories []*bitmapDirectory
	slab        []bitmapPage // pages not used yet
	memory      int64

	// The page used last: changes come in runs, and most runs stay on one page.
	recent   *bitmapPage
	recentAt int64
}

// NewBitmap is an empty bitmap for a volume of volumeSize bytes in granules of granule bytes,
// a power of two. The last granule may be cut by the volume's end.
func NewBitmap(granule, volumeSize int64) (*Bitmap, error) {
	if granule <= 0 || granule&(granule-1) != 0 {
		return nil, fmt.Errorf("granule of %d bytes is not a power of two: %w", granule, ErrGranule)
	}
	if volumeSize <= 0 {
		return nil, fmt.Errorf("volume of %d bytes: %w", volumeSize, ErrOutside)
	}
	granules := (volumeSize-1)/granule + 1
	directories := (granules-1)>>(pageShift+directoryShift) + 1
	if directories > maxDirectories {
		return nil, fmt.Errorf("%d granules of %d bytes, at most %d are possible: %w",
			granules, granule, int64(maxDirectories)<<(pageShift+directoryShift), ErrGranule)
	}
	return &Bitmap{
		granule: granule, size: volumeSize, granules: granules,
		directories: make([]*bitmapDirectory, directories), memory: directories * 8,
	}, nil
}

// Granule is the size of a granule in bytes.
func (b *Bitmap) Granule() int64 { return b.granule }

// VolumeSize is the size of the volume in bytes.
func (b *Bitmap) VolumeSize() int64 { return b.size }

// Granules is the number of granules in the volume.
func (b *Bitmap) Granules() int64 { return b.granules }

// Count is the number of granules in the set.
func (b *Bitmap) Count() int64 { return b.count }

// Memory is about how many bytes the bitmap occupies.
func (b *Bitmap) Memory() int64 { return b.memory }

// Add puts a granule into the set. It reports false if it was there already, and ErrOutside,
// unwrapped, if the volume has no such granule.
func (b *Bitmap) Add(granule int64) (added bool, err error) {
	if uint64(granule) >= uint64(b.granules) {
		return false, ErrOutside
	}
	page := b.recent
	if page == nil || granule>>pageShift != b.recentAt {
		page = b.page(granule)
		b.recent, b.recentAt = page, granule>>pageShift
	}
	word, bit := &page[granule&pageMask>>6], uint64(1)<<(granule&63)
	if *word&bit != 0 {
		return false, nil
	}
	*word |= bit
	b.count++
	return true, nil
}

// page is the page of a granule that is inside the volume; it is made where it does not exist.
func (b *Bitmap) page(granule int64) *bitmapPage {
	d := b.directories[granule>>(pageShift+directoryShift)]
	if d == nil {
		d = new(bitmapDirectory)
		b.memory += directoryPages * 8
		b.directories[granule>>(pageShift+directoryShift)] = d
	}
	slot := granule >> pageShift & (directoryPages - 1)
	if d[slot] == nil {
		if len(b.slab) == 0 {
			b.slab = make([]bitmapPage, slabPages)
			b.memory += slabPages * bitmapPageBytes
		}
		d[slot], b.slab = &b.slab[0], b.slab[1:]
	}
	return d[slot]
}

// AddExtent puts every granule that e touches into the set.
func (b *Bitmap) AddExtent(e Extent) error {
	if e.Empty() && e.Valid() {
		return nil
	}
	if !e.Valid() || e.End() > b.size {
		return fmt.Errorf("extent %v, volume of %d bytes: %w", e, b.size, ErrOutside)
	}
	for g, last := e.Off/b.granule, (e.End()-1)/b.granule; g <= last; {
		page := b.page(g)
		// All granules of this word, or up to the last one.
		in := g & 63
		n := min(64-in, last-g+1)
		mask := (^uint64(0) >> (64 - n)) << in
		word := (g & pageMask) >> 6
		b.count += int64(bits.OnesCount64(mask &^ page[word]))
		page[word] |= mask
		g += n
	}
	return nil
}

// AddSeq puts every granule that an extent of seq touches into the set; seq may be in any order.
func (b *Bitmap) AddSeq(seq Seq) error {
	for e, err := range seq {
		if err != nil {
			return err
		}
		if err := b.AddExtent(e); err != nil {
			return err
		}
	}
	return nil
}

// Contains says that the granule is in the set.
func (b *Bitmap) Contains(granule int64) bool {
	if uint64(granule) >= uint64(b.granules) {
		return false
	}
	d := b.directories[granule>>(pageShift+directoryShift)]
	if d == nil {
		return false
	}
	page := d[granule>>pageShift&(directoryPages-1)]
	return page != nil && page[(granule&pageMask)>>6]&(1<<(granule&63)) != 0
}

// Bytes is the number of bytes of the volume in the set: the last granule counts only as far
// as the volume goes.
func (b *Bitmap) Bytes() int64 {
	n := b.count * b.granule
	if b.Contains(b.granules - 1) {
		n -= b.granules*b.granule - b.size
	}
	return n
}

// Extents is the set as extents: ascending, disjoint, coalesced, cut at the volume's end.
func (b *Bitmap) Extents() iter.Seq[Extent] {
	return func(yield func(Extent) bool) {
		var run Extent // in granules
		for first, page := range b.pagesInOrder() {
			for w, word := range page {
				at := first + int64(w)<<6
				for word != 0 {
					skip := bits.TrailingZeros64(word)
					n := bits.TrailingZeros64(^(word >> skip))
					if start := at + int64(skip); start == run.End() && run.Len > 0 {
						run.Len += int64(n)
					} else {
						if run.Len > 0 && !yield(b.inBytes(run)) {
							return
						}
						run = Extent{Off: start, Len: int64(n)}
					}
					if skip+n == 64 {
						break
					}
					word &= ^uint64(0) << (skip + n)
				}
			}
		}
		if run.Len > 0 {
			yield(b.inBytes(run))
		}
	}
}

// Seq is Extents as a Seq.
func (b *Bitmap) Seq() Seq { return Infallible(b.Extents()) }

// pagesInOrder is the pages that exist, each with its first granule.
func (b *Bitmap) pagesInOrder() iter.Seq2[int64, *bitmapPage] {
	return func(yield func(int64, *bitmapPage) bool) {
		for i, d := range b.directories {
			if d == nil {
				continue
			}
			for slot, page := range d {
				if page != nil && !yield((int64(i)<<directoryShift+int64(slot))<<pageShift, page) {
					return
				}
			}
		}
	}
}

func (b *Bitmap) inBytes(run Extent) Extent {
	if run.End() == b.granules { // also where the next multiple would overflow
		return Between(run.Off*b.granule, b.size)
	}
	return Between(run.Off*b.granule, run.End()*b.granule)
}
