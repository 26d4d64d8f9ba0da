package state

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzState(f *testing.F) {
	d := doc(RoleSecondary, 1, Applying(gen(1), gen(2)), gen(1))
	b, err := encodeSlots(slots{Current: &d})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	st, err := seal(formatStamp, Stamp{Identity: testLV, Generation: gen(1)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(st)
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeSlots(resealed(formatState, b)); err == nil {
			again, err := encodeSlots(s)
			require.NoError(t, err, "what can be read can be written")
			s2, err := decodeSlots(again)
			require.NoError(t, err)
			require.Equal(t, s.cut(), s2.cut())
			require.True(t, same(s.Current, s2.Current) && same(s.Pending, s2.Pending))
		}
		if _, err := decodeStamp(resealed(formatStamp, b)); err != nil {
			require.True(t, errors.Is(err, ErrDamaged) || errors.Is(err, ErrNewer))
		}
	})
}

// resealed gives a file the checksum of its body, so that the fuzzer gets behind it.
func resealed(format string, b []byte) []byte {
	var e envelope
	if json.Unmarshal(b, &e) != nil || len(e.Body) == 0 {
		return b
	}
	e.Format, e.SchemaVersion = format, SchemaVersion
	sum, err := checksum(e.Format, e.SchemaVersion, e.Body)
	if err != nil {
		return b
	}
	e.Checksum = sum
	if out, err := json.Marshal(e); err == nil {
		return out
	}
	return b
}
