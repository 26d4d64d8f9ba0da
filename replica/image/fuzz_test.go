package image

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzMetadata: whatever stands in an image's metadata, it is read as a record of this very image, or
// refused; and a record that was read is written back to the same.
func FuzzMetadata(f *testing.F) {
	f.Add(`{"schema":1,"image":"rbd:f/1","role":"secondary","fence":0,"condition":{"kind":"clean","at":{"uuid":"u","seq":1}}}`)
	f.Add(`{"schema":1,"image":"rbd:f/1","held":true,"base":{"snapshot":"s","generation":{"uuid":"u","seq":1}}}`)
	f.Fuzz(func(t *testing.T, line string) {
		l := look{id: "rbd:f/1", meta: map[string]string{"k": line}}
		for _, v := range []any{&Record{}, &Tracker{}} {
			err := readLine(l, "k", v)
			if err != nil {
				require.True(t, errors.Is(err, ErrMetadata), "%v", err)
				continue
			}
			b, err := json.Marshal(v)
			require.NoError(t, err)
			var h header
			require.NoError(t, json.Unmarshal(b, &h))
			require.Equal(t, header{schema, "rbd:f/1"}, h)
			require.NoError(t, readLine(look{id: l.id, meta: map[string]string{"k": string(b)}}, "k", v))
			again, err := json.Marshal(v)
			require.NoError(t, err)
			require.JSONEq(t, string(b), string(again))
		}
	})
}
