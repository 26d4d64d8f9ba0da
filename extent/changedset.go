package extent

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/ddsgo/ddsgo/generation"
)

// The format of changed-set files, version 1: see the package comment. These are part of
// the format and do not change.
const (
	changedSetMagic   = "DDSGOSET"
	changedSetVersion = 1
	prefixBytes       = 16 // magic, version, length of the header
	blockHeadBytes    = 8  // length of the payload, extents in it
	sumBytes          = 8  // xxhash64
	trailerBytes      = blockHeadBytes + 8 + 8 + sha256.Size
)

// Limits of the format. A reader refuses more before it allocates anything.
const (
	// MaxVolumeName bounds the identity of the volume, in bytes.
	MaxVolumeName = 1024
	// MaxChangedSetHeader bounds the encoded header.
	MaxChangedSetHeader = 4096
	// MaxChangedSetBlock bounds the payload of a block.
	MaxChangedSetBlock = 64 << 10
	// MaxChunkSize bounds the unit of a changed set: the largest block of a thin pool.
	MaxChunkSize = 1 << 30
	// MaxFolded bounds the count of sets folded into one.
	MaxFolded = 1 << 30
)

// SetID identifies the content of a changed set: the SHA-256 of its header and extents as
// they are encoded. The same sets, whoever writes them, have the same identity.
type SetID [sha256.Size]byte

// String is the identity in hexadecimal.
func (id SetID) String() string { return hex.EncodeToString(id[:]) }

// IsZero says that id identifies nothing.
func (id SetID) IsZero() bool { return id == SetID{} }

// MarshalText is String, so that JSON shows it so.
func (id SetID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *SetID) UnmarshalText(text []byte) error {
	if len(text) != 2*len(id) {
		return fmt.Errorf("changed-set identity of %d characters, want %d: %w", len(text), 2*len(id), ErrMalformed)
	}
	if _, err := hex.Decode(id[:], text); err != nil {
		return fmt.Errorf("changed-set identity: %w: %w", ErrMalformed, err)
	}
	return nil
}

// ChangedSetHeader says of what volume, and between which two instants, a changed set is.
type ChangedSetHeader struct {
	// ID is the identity of the set. WriteChangedSet computes it; OpenChangedSet verifies it.
	ID SetID `json:"id"`
	// Volume is the identity of the source volume, for example the UUID of its logical volume.
	Volume string `json:"volume"`
	// From and To are the two instants. What is outside the set is equal at both.
	From generation.Generation `json:"from"`
	To   generation.Generation `json:"to"`
	// Size is the size of the volume at To, in bytes. No extent ends beyond it.
	Size int64 `json:"size"`
	// ChunkSize is the unit of the set in bytes: extents start at multiples of it, and end at
	// multiples or at Size. 1 where extents are of any length.
	ChunkSize int64 `json:"chunk_size"`
	// Folded counts the sets that this one unites; 0 for a set that is one exception table.
	Folded int `json:"folded"`
}

// Validate refuses a header that cannot be written or believed.
func (h ChangedSetHeader) Validate() error {
	switch {
	case h.Volume == "" || len(h.Volume) > MaxVolumeName:
		return fmt.Errorf("volume identity of %d bytes, want 1 to %d: %w", len(h.Volume), MaxVolumeName, ErrHeader)
	case h.Size <= 0:
		return fmt.Errorf("volume of %d bytes: %w", h.Size, ErrHeader)
	case h.ChunkSize < 1 || h.ChunkSize > MaxChunkSize:
		return fmt.Errorf("chunks of %d bytes, want 1 to %d: %w", h.ChunkSize, MaxChunkSize, ErrHeader)
	case h.Folded < 0 || h.Folded > MaxFolded:
		return fmt.Errorf("%d folded sets: %w", h.Folded, ErrHeader)
	}
	for _, g := range []generation.Generation{h.From, h.To} {
		if len(g.UUID) > generation.MaxUUID {
			return fmt.Errorf("generation UUID of %d bytes, at most %d: %w", len(g.UUID), generation.MaxUUID, ErrHeader)
		}
		if g.Size < 0 {
			return fmt.Errorf("generation of %d bytes: %w", g.Size, ErrHeader)
		}
		if !g.Time.IsZero() && (g.Time.Year() < 1970 || g.Time.Year() > 2261) {
			return fmt.Errorf("generation of the year %d: %w", g.Time.Year(), ErrHeader)
		}
	}
	if h.To.IsZero() {
		return fmt.Errorf("no generation at the end of the set: %w", ErrHeader)
	}
	return nil
}
