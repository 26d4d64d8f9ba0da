package engine

import (
	"context"
	"fmt"
	"io"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/extent"
)

// copyPiece is the size of the reads of CopyBack.
const copyPiece = 1 << 20

// CopyBack writes the content that old has of the extents to dev, and makes it durable. It may be
// cut anywhere and begun anew. total is the sum of the extents, for progress.
func CopyBack(ctx context.Context, dev blockdev.Device, old io.ReaderAt, extents extent.Seq, total int64, progress func(Progress)) error {
	buf := blockdev.AlignedBuffer(copyPiece, 4096)
	p := Progress{Phase: "writing back", Total: total}
	for e, err := range extent.Checked(extents, dev.Size()) {
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSource, err)
		}
		for off := e.Off; off < e.End(); {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			b := buf[:min(copyPiece, e.End()-off)]
			if err := readFull(old, b, off); err != nil {
				return err
			}
			if _, err := dev.WriteAt(b, off); err != nil {
				return fmt.Errorf("%s: write %v: %w", dev.Name(), extent.Extent{Off: off, Len: int64(len(b))}, err)
			}
			off += int64(len(b))
			p.Done += int64(len(b))
			if progress != nil {
				progress(p)
			}
		}
	}
	if err := beat(progress, p, dev.Sync); err != nil {
		return fmt.Errorf("%s: sync: %w", dev.Name(), err)
	}
	return nil
}
