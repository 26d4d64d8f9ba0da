package lvm

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStoreBytes(t *testing.T) {
	const mib = 1 << 20
	cases := []struct {
		name               string
		origin, size, want int64
		extent, chunk      int64
	}{
		{"one extent at least", 64 * mib, 1, 4 * mib, 4 * mib, 0},
		{"whole extents", 64 * mib, 4*mib + 1, 8 * mib, 4 * mib, 0},
		{"LVM made 65 MiB of 4 GiB for an origin of 64 MiB", 64 * mib, 4 << 30, 65 * mib, mib, 0},
		{"exactly what cannot overflow", 64 * mib, 65 * mib, 65 * mib, mib, 0},
		{"larger chunks have smaller tables", 64 * mib, 65 * mib, 65 * mib, mib, 64 << 10},
		{"extent size not reported", 64 * mib, 5000, 5000, 0, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, StoreBytes(LV{Size: c.origin, ExtentSize: c.extent}, c.size, c.chunk))
		})
	}
}
