package blockdev

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFlushDisks: through LVM's own layers down to the disks, each once; a disk that is device-mapper
// but not LVM's (multipath, crypt) is flushed itself.
func TestFlushDisks(t *testing.T) {
	at := "sys/dev/block/253:4/slaves/"
	s := fakeSystem(t, map[string]string{
		at + "dm-7/dm/uuid":                   "LVM-abc-real\n",
		at + "dm-7/slaves/sda2/size":          "1\n",
		at + "dm-7/slaves/dm-1/dm/uuid":       "mpath-360\n",
		at + "dm-7/slaves/dm-1/slaves/sdx/ro": "0\n",
		at + "dm-8/dm/uuid":                   "LVM-abc-cow\n",
		at + "dm-8/slaves/sda2/size":          "1\n",
		at + "dm-8/slaves/cciss!c0d1/size":    "1\n",
	})
	var flushed []string
	require.NoError(t, s.flushDisks("/dev/mapper/vg-a", func(d string) error { flushed = append(flushed, d); return nil }))
	require.Equal(t, []string{"/dev/cciss/c0d1", "/dev/dm-1", "/dev/sda2"}, flushed)
	boom := errors.New("medium error")
	err := s.flushDisks("/dev/mapper/vg-a", func(string) error { return boom })
	require.ErrorIs(t, err, boom)
	require.ErrorContains(t, err, "/dev/mapper/vg-a: flush of cciss!c0d1")
}

// What is not there, or is no block device, has no disk that could be flushed.
func TestFlushDisksOfNothing(t *testing.T) {
	require.NoError(t, FlushDisks("/dev/there-is-no-such-volume"))
}
