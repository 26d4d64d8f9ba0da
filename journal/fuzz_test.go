package journal

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/stream"
)

// FuzzCommitRecord: whatever lies in the place of a commit record, with a right checksum or not, is
// believed or refused; what is believed names no file outside the journal.
func FuzzCommitRecord(f *testing.F) {
	good := record{Version: commitVersion, Time: time.Unix(1_800_000_000, 0).UTC(), Members: []Member{{Name: "lv-1", Target: "/dev/vg/lv", Header: stream.Header{Kind: stream.KindDelta}, Digest: "d", Bytes: 5}}}
	b, err := json.Marshal(good)
	require.NoError(f, err)
	f.Add(b)
	f.Add([]byte(strings.Replace(string(b), "lv-1", "../../etc/passwd", 1)))
	f.Add([]byte(`{"version":1,"members":[{"name":"a","bytes":-1}],"checksum":""}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, resummed(b)} {
			r, err := parseRecord(b)
			if err != nil {
				continue
			}
			require.NotEmpty(t, r.Members)
			require.LessOrEqual(t, len(r.Members), MaxMembers)
			for _, m := range r.Members {
				require.Equal(t, "/j/committed", filepath.Dir(filepath.Join("/j/committed", m.Name+deltaSuffix)))
			}
		}
	})
}

// resummed gives a record the checksum that it should have, so that the fuzzer gets behind it.
func resummed(b []byte) []byte {
	var r record
	if json.Unmarshal(b, &r) != nil {
		return b
	}
	sum, err := r.sum()
	if err != nil {
		return b
	}
	r.Checksum = sum
	out, err := json.Marshal(r)
	if err != nil {
		return b
	}
	return out
}
