package resync

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/extent"
)

// sink takes what an end sends.
type sink struct{ bytes.Buffer }

func (*sink) Flush() error { return nil }

func message(typ byte, count uint32, off uint64, payload ...byte) []byte {
	b := make([]byte, headSize)
	b[0] = typ
	binary.LittleEndian.PutUint32(b[4:], count)
	binary.LittleEndian.PutUint64(b[8:], off)
	return append(b, payload...)
}

const hostileSize = 2*StripeSize + 5000

func hostileOptions() Options {
	return Options{Range: extent.Between(0, hostileSize), Block: 4096, Salt: Salt{1}, Readers: 1}
}

// FuzzCompare is a serving end that may say anything: what comes out lies inside the range,
// is ascending and disjoint, and no success is claimed without an end of the exchange.
func FuzzCompare(f *testing.F) {
	volume := noise(5, hostileSize)
	r := rand.New(rand.NewPCG(1, 1))
	digests := func(n int) []byte {
		b := make([]byte, n*digestSize)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	f.Add([]byte{})
	f.Add(message(msgEnd, 0, 0))
	f.Add(message(msgStripes, 1<<31, 0))
	f.Add(append(message(msgStripes, 3, 0, digests(3)...), message(msgEnd, 0, hostileSize)...))
	f.Add(bytes.Join([][]byte{message(msgStripes, 3, 0, digests(3)...), message(msgBlocks, 256, 0, digests(256)...), message(msgBlocks, 256, StripeSize, digests(256)...), message(msgBlocks, 2, 2*StripeSize, digests(2)...), message(msgEnd, 0, hostileSize)}, nil))
	f.Fuzz(func(t *testing.T, said []byte) {
		var last int64
		res, err := Compare(t.Context(), bytes.NewReader(said), &sink{}, bytes.NewReader(volume), hostileOptions(), func(e extent.Extent) error {
			if e.Empty() || e.Off < last || e.End() > hostileSize {
				t.Fatalf("extent %v after %d", e, last)
			}
			last = e.End() + 1
			return nil
		})
		if err == nil && (res.Reached != hostileSize || !bytes.Contains(said, message(msgEnd, 0, hostileSize))) {
			t.Fatalf("success without an end: %+v", res)
		}
	})
}

// FuzzServe is a comparing end that may say anything: it never gets more than the digests
// of what the range holds.
func FuzzServe(f *testing.F) {
	volume := noise(6, hostileSize)
	f.Add([]byte{})
	f.Add(message(msgWant, 3, 0, 7))
	f.Add(message(msgWant, 3, 0, 8))
	f.Add(message(msgWant, 3, 4096, 1))
	f.Add(message(msgWant, 1<<30, 0, 1))
	f.Fuzz(func(t *testing.T, said []byte) {
		var out sink
		_, err := Serve(t.Context(), bytes.NewReader(said), &out, bytes.NewReader(volume), hostileOptions())
		if out.Len() > 5*headSize+(3+514)*digestSize {
			t.Fatalf("%d bytes sent", out.Len())
		}
		if err == nil && (len(said) < headSize+1 || said[0] != msgWant || said[headSize] > 7) {
			t.Fatalf("accepted %x", said)
		}
	})
}

func TestHostilePeers(t *testing.T) {
	volume := noise(5, hostileSize)
	three := make([]byte, 3*digestSize)
	for name, said := range map[string][]byte{
		"nothing":                   nil,
		"end at once":               message(msgEnd, 0, 0),
		"end beyond what was said":  message(msgEnd, 0, hostileSize),
		"end with open answers":     append(message(msgStripes, 3, 0, three...), message(msgEnd, 0, hostileSize)...),
		"too many stripes":          message(msgStripes, 1<<31, 0),
		"stripes elsewhere":         message(msgStripes, 3, 1<<40),
		"negative offset":           message(msgStripes, 3, 1<<63),
		"answer to no question":     message(msgBlocks, 256, 0),
		"more windows than a range": append(message(msgStripes, 3, 0, three...), message(msgStripes, 3, 0, three...)...),
		"answer out of order":       append(message(msgStripes, 3, 0, three...), message(msgBlocks, 256, StripeSize)...),
		"want from a serving end":   message(msgWant, 3, 0, 7),
		"reserved bytes used":       {msgEnd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Compare(t.Context(), bytes.NewReader(said), &sink{}, bytes.NewReader(volume), hostileOptions(), func(extent.Extent) error { return nil })
			require.ErrorIs(t, err, ErrProtocol)
		})
	}
}
