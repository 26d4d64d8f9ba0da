package report

import (
	"fmt"
	"io"

	"github.com/ddsgo/ddsgo/generation"
)

// Compared is the account of a hash exchange.
type Compared struct {
	BlockSize       int64 `json:"block_size"`
	ComparedBytes   int64 `json:"compared_bytes"`   // of the volume, in this run
	DifferingBlocks int64 `json:"differing_blocks"` //
	DifferingBytes  int64 `json:"differing_bytes"`  // in these blocks
	DigestBytes     int64 `json:"digest_bytes"`     // that the exchange itself sent, both ways
}

// Range is a range of bytes of a volume.
type Range struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

// MaxRanges is how many ranges a report lists; the counts cover all.
const MaxRanges = 1000

// Verify is the report of a verification of one leg.
type Verify struct {
	Resource string `json:"resource"`
	Run      string `json:"run"`
	Compared
	Generation *generation.Generation `json:"generation"` // that the last slice was compared at
	Size       int64                  `json:"size"`       // of the volume
	From       int64                  `json:"from"`       // where this run began: an earlier one had come so far
	Until      int64                  `json:"until"`      // everything before was compared
	Differing  []Range                `json:"differing"`  // at most MaxRanges
	Repaired   bool                   `json:"repaired"`   // what differed was sent, and compared again
	Repair     *Sync                  `json:"repair"`     // null: nothing was sent
	Seconds    float64                `json:"seconds"`
	Plan       []string               `json:"plan,omitempty"` // --dry-run
}

// Text is the report for people.
func (v *Verify) Text(w io.Writer) {
	if v.Generation == nil {
		fmt.Fprintf(w, "%s: nothing was compared (%.1f s)\n", v.Resource, v.Seconds)
		return
	}
	result := "no difference"
	if v.DifferingBlocks > 0 {
		result = fmt.Sprintf("%d blocks of %d bytes differ", v.DifferingBlocks, v.BlockSize)
	}
	fmt.Fprintf(w, "%s: %s compared at generation #%d: %s, %s of digests, %.1f s\n", v.Resource, iBytes(v.ComparedBytes), v.Generation.Seq, result, iBytes(v.DigestBytes), v.Seconds)
	for _, r := range v.Differing {
		fmt.Fprintf(w, "  differs: offset %d, %d bytes\n", r.Offset, r.Length)
	}
	if v.Repaired {
		fmt.Fprintf(w, "%s: repaired, and compared again: no difference\n", v.Resource)
	}
}

// Text is the account of a hash exchange for people.
func (c *Compared) Text(w io.Writer, resource string) {
	fmt.Fprintf(w, "%s: %s compared, %s differ, %s of digests\n", resource, iBytes(c.ComparedBytes), iBytes(c.DifferingBytes), iBytes(c.DigestBytes))
}
