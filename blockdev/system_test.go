package blockdev

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// fakeSystem is a proc and a sysfs in a directory, for what a test machine does not have.
func fakeSystem(t *testing.T, files map[string]string) system {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	numbers := map[string][2]uint32{"/dev/mapper/vg-a": {253, 4}, "/dev/sdb": {8, 16}, "/dev/sdb1": {8, 17}, "/dev/my disk": {253, 4}}
	return system{
		proc: filepath.Join(root, "proc"), sys: filepath.Join(root, "sys"),
		deviceNumber: func(path string) (uint32, uint32, error) {
			n, ok := numbers[path]
			if !ok {
				return 0, 0, unix.ENOENT
			}
			return n[0], n[1], nil
		},
		mapper: func(major, minor uint32) (MapperInfo, bool, error) {
			return MapperInfo{OpenCount: 2}, major == 253, nil
		},
	}
}

func TestHoldersOfEveryKind(t *testing.T) {
	s := fakeSystem(t, map[string]string{
		"proc/self/mountinfo": `22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw
40 22 253:4 / /srv/my\040data rw,noatime shared:1 - ext4 /dev/mapper/vg-a rw
41 22 0:45 /sub /mnt/btrfs rw - btrfs /dev/mapper/vg-a rw
42 22 8:17 / /mnt/part rw - xfs /dev/sdb1 rw
43 22 0:5 / /proc rw - proc proc rw
garbage
`,
		"proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n/dev/my\\040disk partition 1 0 -2\n",
		"sys/dev/block/253:4/holders/dm-9/dm/name": "vg-top\n",
		"sys/dev/block/8:16/sdb1/partition":        "1\n",
		"sys/dev/block/8:16/sdb1/dev":              "8:17\n",
		"sys/dev/block/8:17/holders/md0":           "",
	})
	held, err := s.holders(VolumeIdentity{Path: "/dev/mapper/vg-a", Major: 253, Minor: 4, MapperName: "vg-a"})
	require.NoError(t, err)
	require.Equal(t, []Holder{
		{HeldByMount, "/srv/my data"}, {HeldByMount, "/mnt/btrfs"}, {HeldBySwap, "/dev/my disk"},
		{HeldByDevice, "vg-top"}, {HeldByOpen, "2 times"},
	}, held)
	held, err = s.holders(VolumeIdentity{Path: "/dev/sdb", Major: 8, Minor: 16})
	require.NoError(t, err)
	require.Equal(t, []Holder{{HeldByMount, "/mnt/part"}, {HeldByDevice, "md0"}}, held)
	held, err = s.holders(VolumeIdentity{Path: "/dev/sdc", Major: 8, Minor: 32})
	require.NoError(t, err)
	require.Empty(t, held)
}

func TestCountersOfOldAndNewKernels(t *testing.T) {
	for _, c := range []struct {
		name, stat string
		want       Counters
		fails      bool
	}{
		{"with flushes", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", Counters{"boot-1", 5, 7, 12, 14}, false},
		{"without discards", "1 2 3 4 5 6 7 8 9 10 11", Counters{"boot-1", 5, 7, 0, 0}, false},
		{"too short", "1 2 3", Counters{}, true},
		{"not numbers", "1 2 3 4 five 6 7 8 9 10 11", Counters{}, true},
		{"missing", "", Counters{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fakeSystem(t, map[string]string{
				"proc/sys/kernel/random/boot_id": "boot-1\n", "sys/dev/block/253:4/stat": c.stat,
			})
			got, err := s.counters("/dev/mapper/vg-a")
			require.Equal(t, c.fails, err != nil, "%v", err)
			if !c.fails {
				require.Equal(t, c.want, got)
			}
		})
	}
}

// A device that was taken down and made anew within one boot counts from zero.
func TestCountersOfADeviceMadeAnew(t *testing.T) {
	of := func(seq string) Counters {
		s := fakeSystem(t, map[string]string{
			"proc/sys/kernel/random/boot_id": "boot-1\n", "sys/dev/block/253:4/stat": "1 2 3 4 5 6 7 8 9 10 11", "sys/dev/block/253:4/diskseq": seq + "\n",
		})
		c, err := s.counters("/dev/mapper/vg-a")
		require.NoError(t, err)
		return c
	}
	require.True(t, of("17").Untouched(of("17")))
	require.False(t, of("18").Untouched(of("17")))
}

func TestUntouchedNeedsTheSameBoot(t *testing.T) {
	a := Counters{BootID: "1", Writes: 5}
	require.True(t, a.Untouched(a))
	require.False(t, a.Untouched(Counters{BootID: "2", Writes: 5}))
	require.False(t, a.Untouched(Counters{BootID: "1", Writes: 4}))
	require.False(t, Counters{}.Untouched(Counters{}))
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{`/a\040b`: "/a b", `/a\134b`: `/a\b`, `/a\9zz`: `/a\9zz`, `/a\04`: `/a\04`, "/plain": "/plain"} {
		require.Equal(t, want, unescape(in))
	}
}

func TestFilesAreNotCreatedUnderDev(t *testing.T) {
	for dir, want := range map[string]bool{"/dev": true, "/dev/mapper": true, "/dev/shm": false, "/dev/shm/x": false, "/device": false, "/": false} {
		require.Equal(t, want, inDevFS(dir), dir)
	}
}

// The ways to zero are tried in order, and a refusal is remembered, not an error.
func TestZeroFallsBack(t *testing.T) {
	for name, set := range map[string]func(*Disk){
		"zero range refused": func(d *Disk) { d.noZeroRange.Store(true) },
		"both refused":       func(d *Disk) { d.noZeroRange.Store(true); d.noPunch.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			content := make([]byte, 600<<10)
			for i := range content {
				content[i] = 0xaa
			}
			require.NoError(t, os.WriteFile(path, content, 0o600))
			d, err := Open(path, Options{Write: true})
			require.NoError(t, err)
			defer d.Close()
			set(d)
			require.NoError(t, d.ZeroAt(1000, 500<<10))
			clear(content[1000 : 1000+500<<10])
			got, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, content, got)
		})
	}
}

func TestMapperOfDeviceThatIsNotIts(t *testing.T) {
	if _, err := os.Stat("/dev/mapper/control"); err != nil {
		t.Skip("skipped: no device-mapper here; the lab runs it")
	}
	_, ok, err := Mapper(7, 0)
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	require.False(t, ok)
}
