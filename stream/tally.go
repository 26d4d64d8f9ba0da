package stream

import (
	"crypto/sha256"
	"encoding"
	"fmt"
	"hash"
)

// Cursor is a verified prefix of a delta. It holds all that a sender needs to go on with the
// frame after it, and all that a reader needs to check the rest.
type Cursor struct {
	SetID       SetID  `json:"set_id"`
	Next        uint64 `json:"next"`         // group that comes next
	Frames      uint64 `json:"frames"`       // frames so far
	Extents     uint64 `json:"extents"`      //
	DataBytes   uint64 `json:"data_bytes"`   //
	ZeroBytes   uint64 `json:"zero_bytes"`   //
	End         int64  `json:"end"`          // where the last extent ended
	Bytes       int64  `json:"bytes"`        // length of the prefix, header included
	DigestState []byte `json:"digest_state"` // SHA-256 of the prefix, not finished
}

// Counts is what the trailer counts.
type Counts struct {
	Frames    uint64 `json:"frames"`
	Groups    uint64 `json:"groups"`
	Extents   uint64 `json:"extents"`
	DataBytes uint64 `json:"data_bytes"`
	ZeroBytes uint64 `json:"zero_bytes"`
}

// Digest is the digest of a whole delta, the same for every codec.
type Digest [sha256.Size]byte

// String is the digest in hexadecimal.
func (d Digest) String() string { return fmt.Sprintf("%x", d[:]) }

// MarshalText makes the digest readable in JSON.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// tally keeps the counts and the running digest, alike for writer and reader.
type tally struct {
	Counts
	hash  hash.Hash
	end   int64
	bytes int64
	head  [frameDigest]byte
}

// newTally starts at the header, or at the cursor where there is one.
func newTally(h Header, at *Cursor) (*tally, error) {
	t := &tally{hash: sha256.New()}
	if at == nil {
		if h.First != 0 {
			return nil, &Error{Kind: ErrPartial, Detail: fmt.Sprintf("it begins with frame %d", h.First)}
		}
		_, _ = t.hash.Write(h.appendDigest(nil))
		return t, nil
	}
	if at.SetID != h.SetID || at.Next != h.First || at.End < 0 || at.End > h.VolumeSize || at.Frames > at.Next {
		return nil, &Error{Kind: ErrPartial, Frame: h.First, Detail: fmt.Sprintf("set %v from frame %d, wanted set %v from frame %d", h.SetID, h.First, at.SetID, at.Next)}
	}
	state, ok := t.hash.(encoding.BinaryUnmarshaler)
	if !ok {
		return nil, fmt.Errorf("this build's SHA-256 cannot be resumed")
	}
	if err := state.UnmarshalBinary(at.DigestState); err != nil {
		return nil, &Error{Kind: ErrPartial, Frame: h.First, Detail: err.Error()}
	}
	t.Counts = Counts{Frames: at.Frames, Groups: at.Next, Extents: at.Extents, DataBytes: at.DataBytes, ZeroBytes: at.ZeroBytes}
	t.end, t.bytes = at.End, at.Bytes
	return t, nil
}

// add counts one frame; head and table are its bytes, end where its last extent ends.
func (t *tally) add(f *Frame, head, table []byte, entries int, end int64) {
	copy(t.head[:], head)
	t.head[4] &^= byte(FlagRaw)
	t.head[5] = 0
	_, _ = t.hash.Write(t.head[:])
	_, _ = t.hash.Write(table)
	t.Frames++
	t.Groups += uint64(f.Span)
	t.Extents += uint64(entries)
	t.DataBytes += uint64(f.RawLen)
	for _, e := range f.Zeros {
		t.ZeroBytes += uint64(e.Len)
	}
	t.end = end
	t.bytes += int64(len(head)+len(table)) + int64(len(f.Payload))
}

func (t *tally) digest() (d Digest) {
	t.hash.Sum(d[:0])
	return d
}

func (t *tally) cursor(id SetID) (Cursor, error) {
	m, ok := t.hash.(encoding.BinaryMarshaler)
	if !ok {
		return Cursor{}, fmt.Errorf("this build's SHA-256 cannot be resumed")
	}
	state, err := m.MarshalBinary()
	if err != nil {
		return Cursor{}, fmt.Errorf("digest state: %w", err)
	}
	return Cursor{SetID: id, Next: t.Groups, Frames: t.Frames, Extents: t.Extents, DataBytes: t.DataBytes,
		ZeroBytes: t.ZeroBytes, End: t.end, Bytes: t.bytes, DigestState: state}, nil
}
