package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEveryKeyOfTheContract(t *testing.T) {
	c, err := Load("testdata/good/contracts.yaml")
	require.NoError(t, err)
	require.Equal(t, "site1", c.LocalSite)
	require.Equal(t, []string{"adopted", "appdata", "fromceph", "guarded", "img", "offsite", "p1", "rep", "rewound", "snaps", "svc1", "toceph"}, c.Names())
	require.Equal(t, []string{"site1", "site2"}, c.Resources["svc1"].Sites())
	require.Equal(t, []string{"source", "dr1"}, c.Resources["appdata"].Sites())
	app := c.Resources["appdata"].LVM
	require.Equal(t, SnapSize{Percent: 10}, app.SnapSize)
	require.Equal(t, 27*time.Hour, app.SyncMaxDelay.D())
	require.Equal(t, []string{"ddsgo"}, app.Targets[0].Command)
	require.Equal(t, int64(4<<30), c.Resources["adopted"].LVM.SnapSize.Of(1))
	require.Nil(t, app.SnapExtend)
	require.Equal(t, []any{"auto", "journal", 0, Size(0)}, []any{app.SubChunk, app.Protect, app.History, app.ChunkSize})
	guarded, rewound := c.Resources["guarded"].LVM, c.Resources["rewound"].LVM
	require.Equal(t, []any{"never", "snapshot", Size(64 << 10)}, []any{guarded.SubChunk, guarded.Protect, guarded.ChunkSize})
	require.Equal(t, []any{"always", "journal", 7}, []any{rewound.SubChunk, rewound.Protect, rewound.History})
	require.Equal(t, &SnapExtend{Step: SnapSize{Bytes: 512 << 20}, Max: SnapSize{Percent: 50}}, c.Resources["adopted"].LVM.SnapExtend)
	require.Equal(t, Strings{"http://127.0.0.1:8002"}, c.Arrays["ibox2"].URL)
	require.Equal(t, "hp3par2.opensvc.com", c.Arrays["hp3par2.opensvc.com"].Manager)
	require.Equal(t, map[string]any{"a": "/x", "b": "/y"}, c.Resources["p1"].Plugin.Config)
	require.Equal(t, "DDSGO_PASSWORD_HP3PAR1_OPENSVC_COM", c.Arrays["hp3par1.opensvc.com"].PasswordVariable())
	offsite := c.Resources["offsite"].LVM
	require.True(t, offsite.FromImage() && offsite.ToImage())
	require.Equal(t, &Ceph{Cluster: "secondary", Conf: "/d", User: "ddsgo"}, offsite.Targets[0].Ceph)
	require.Equal(t, 24, offsite.Targets[0].Keep)
	require.Equal(t, []string{"source", "local"}, c.Resources["offsite"].Sites())
	require.Equal(t, DefaultKeep, c.Resources["toceph"].LVM.Targets[0].Keep)
	require.True(t, c.Resources["fromceph"].LVM.SnapSize.IsZero())
	s2, ok := c.Resources["img"].RBD.Sites.Get("site2")
	require.True(t, ok)
	require.Equal(t, "/s", s2.MirrorAdminSocket)
}

// What show prints is a configuration with the same meaning.
func TestShowReadsBack(t *testing.T) {
	c, err := Load("testdata/good/contracts.yaml")
	require.NoError(t, err)
	text, err := c.Show()
	require.NoError(t, err)
	again, err := Parse("shown", text)
	require.NoError(t, err, "%s", text)
	second, err := again.Show()
	require.NoError(t, err)
	require.Equal(t, string(text), string(second))
	require.Equal(t, c.Names(), again.Names())
	require.Equal(t, c.Resources["adopted"].LVM, again.Resources["adopted"].LVM)
	require.Equal(t, c.Resources["rep"].InfiniBox, again.Resources["rep"].InfiniBox)
}

// Each file of testdata/bad begins with `# want: ` lines: texts that the error holds.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			text, err := os.ReadFile(f)
			require.NoError(t, err)
			wants := 0
			_, err = Load(f)
			require.Error(t, err)
			for line := range strings.Lines(string(text)) {
				if want, ok := strings.CutPrefix(strings.TrimSpace(line), "# want: "); ok {
					require.Contains(t, err.Error(), want)
					wants++
				}
			}
			require.Positive(t, wants, "no want line")
			require.NotContains(t, err.Error(), "config.", "names of Go types in %q", err)
		})
	}
}

func TestConfDirAndDuplicates(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		p := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o700))
		require.NoError(t, os.WriteFile(p, []byte(text), 0o600))
	}
	main := filepath.Join(dir, "ddsgo.yaml")
	_, err := Load(main)
	require.ErrorIs(t, err, ErrNoConfig)

	write("conf.d/10-a.yaml", "resources:\n  a: {source: /dev/a, targets: [{device: /dev/b}]}\n")
	write("conf.d/notes.txt", "not read")
	c, err := Load(main)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, c.Names())

	write("ddsgo.yaml", "# nothing here\n")
	c, err = Load(main)
	require.NoError(t, err)
	require.Equal(t, []string{main, filepath.Join(dir, "conf.d/10-a.yaml")}, c.Files)

	write("conf.d/20-b.yaml", "resources:\n  a: {source: /dev/a, targets: [{device: /dev/b}]}\n")
	_, err = Load(main)
	require.ErrorContains(t, err, "20-b.yaml:2:3")
	require.ErrorContains(t, err, "10-a.yaml:2:3")
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "10m": 10 * time.Minute, "1d3h": 27 * time.Hour, "2d1h5m9s": 49*time.Hour + 5*time.Minute + 9*time.Second, "0s": 0,
	} {
		d, err := ParseDuration(text)
		require.NoError(t, err, text)
		require.Equal(t, want, d.D())
		back, err := ParseDuration(d.String())
		require.NoError(t, err)
		require.Equal(t, d, back)
	}
	for _, text := range []string{"", "10", "1w", "3h1d", "1m1m", "m", "-1h", "1.5h", "1 h", "99999999999999d", "10 minutes"} {
		_, err := ParseDuration(text)
		require.Error(t, err, text)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{"4096": 4096, "64K": 64 << 10, "64k": 64 << 10, "4MiB": 4 << 20, "10G": 10 << 30, "1TB": 1 << 40, "1M": 1 << 20} {
		s, err := ParseSize(text)
		require.NoError(t, err, text)
		require.Equal(t, want, s, text)
		back, err := ParseSize(s.String())
		require.NoError(t, err)
		require.Equal(t, s, back)
	}
	for _, text := range []string{"", "x", "10Q", "-1", "99999999999E"} {
		_, err := ParseSize(text)
		require.Error(t, err, text)
	}
}

func TestStateDir(t *testing.T) {
	env := func(kv ...string) func(string) string {
		return func(k string) string {
			for i := 0; i < len(kv); i += 2 {
				if kv[i] == k {
					return kv[i+1]
				}
			}
			return ""
		}
	}
	dir := t.TempDir()
	got, err := StateDir("", env("DDSGO_STATE_DIR", filepath.Join(dir, "x")))
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "x"), got)
	entries, err := os.ReadDir(got)
	require.NoError(t, err)
	require.Empty(t, entries, "the probe stays behind")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	_, err = StateDir(filepath.Join(dir, "file", "sub"), env())
	require.ErrorContains(t, err, "cannot be created")
	_, err = StateDir("/proc/sys", env())
	require.ErrorContains(t, err, "cannot be written")
	require.Equal(t, "/h/.local/state/ddsgo", defaultStateDir(1000, env("HOME", "/h")))
	require.Equal(t, "/x/ddsgo", defaultStateDir(1000, env("HOME", "/h", "XDG_STATE_HOME", "/x")))
}

func TestPassword(t *testing.T) {
	f := filepath.Join(t.TempDir(), "pw")
	require.NoError(t, os.WriteFile(f, []byte("s3cret\r\nmore\n"), 0o600))
	none := func(string) string { return "" }
	pw, err := Array{Name: "a", PasswordFile: f}.Password(none)
	require.NoError(t, err)
	require.Equal(t, "s3cret", pw)
	pw, err = Array{Name: "a-1"}.Password(func(k string) string { return map[string]string{"DDSGO_PASSWORD_A_1": "e"}[k] })
	require.NoError(t, err)
	require.Equal(t, "e", pw)
	require.NoError(t, os.WriteFile(f, []byte("\n"), 0o600))
	_, err = Array{Name: "a", PasswordFile: f}.Password(none)
	require.ErrorContains(t, err, "holds no password")
	_, err = Array{Name: "a", PasswordFile: f + "x"}.Password(none)
	require.ErrorContains(t, err, "array a")
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.yaml")
	for _, name := range files {
		if text, err := os.ReadFile(name); err == nil {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("fuzz.yaml", text)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		if _, err := c.Show(); err != nil {
			t.Fatalf("accepted, but cannot be shown: %v", err)
		}
	})
}
