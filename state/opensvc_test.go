package state

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/generation"
)

func TestOpenSVC(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	require.NoError(t, err)
	const uuid = "Zd3fOM-abcd-EFGH-ijkl-MNOP-qrst-UVWXyz"
	for _, good := range []string{"2026-11-20 18:25:52.123456;" + uuid + "\n", "2026-11-20 18:25:52.123456;" + uuid} {
		o, err := ParseOpenSVC([]byte(good), paris)
		require.NoError(t, err)
		require.Equal(t, uuid, o.UUID)
		require.Equal(t, "2026-11-20T17:25:52.123456Z", o.Time.UTC().Format(time.RFC3339Nano))
		require.Equal(t, strings.TrimSuffix(good, "\n")+"\n", string(o.Format(paris)))
	}
	whole, err := ParseOpenSVC([]byte("2026-11-20 18:25:52;"+uuid), time.UTC)
	require.NoError(t, err)
	require.Equal(t, "2026-11-20 18:25:52.000000;"+uuid+"\n", string(whole.Format(time.UTC)))
	for _, bad := range []string{
		"", "\n", ";", "x", uuid, "2026-11-20 18:25:52.1;" + uuid + ";x", "2026-11-20 18:25:52.123456;" + uuid + "\n\n",
		"2026-11-20 18:25:52.123456;" + uuid + "\nmore", ";" + uuid, "2026-11-20 18:25:52.123456;", "20.11.2026;" + uuid,
		"2026-13-20 18:25:52.123456;" + uuid, "2026-11-20 18:25:52.123456;a b", "2026-11-20 18:25:52.123456;\x00", "\xff\xfe",
		"2026-11-20 18:25:52.123456;" + strings.Repeat("x", generation.MaxUUID+1), strings.Repeat("x", MaxOpenSVC+1),
	} {
		_, err := ParseOpenSVC([]byte(bad), time.UTC)
		require.ErrorIs(t, err, ErrOpenSVC, "%q", bad)
	}
	path := filepath.Join(t.TempDir(), "dds_state")
	_, err = ReadOpenSVC(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, WriteOpenSVC(path, whole))
	got, err := ReadOpenSVC(path)
	require.NoError(t, err)
	require.True(t, got.Time.Equal(whole.Time))
	require.ErrorIs(t, WriteOpenSVC(path, OpenSVC{}), ErrOpenSVC)
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	_, err = ReadOpenSVC(path)
	require.ErrorIs(t, err, ErrOpenSVC)
	require.ErrorContains(t, err, path)
}

func FuzzOpenSVC(f *testing.F) {
	f.Add([]byte("2026-11-20 18:25:52.123456;Zd3fOM-abcd\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := ParseOpenSVC(b, time.UTC)
		if err != nil {
			require.ErrorIs(t, err, ErrOpenSVC)
			return
		}
		again, err := ParseOpenSVC(o.Format(time.UTC), time.UTC)
		require.NoError(t, err)
		require.Equal(t, o, again)
	})
}
