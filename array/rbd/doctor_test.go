package rbd_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/array/rbd/fakerbd"
)

func findings(t *testing.T, b *bed) string {
	t.Helper()
	f, err := b.drv.Diagnose(t.Context())
	require.NoError(t, err)
	return fmt.Sprintf("%+v", f)
}

func TestDoctorNamesWhatIsMissingInEachDirection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, rbd.ModeJournal)
		require.Contains(t, findings(t, b), "mode disabled")
		b.ready("x")
		f, err := b.drv.Diagnose(t.Context())
		require.NoError(t, err)
		require.Empty(t, f, "a healthy pair")

		b.world.SetDaemon(fakerbd.Secondary, false)
		require.Contains(t, findings(t, b), "nothing flows from site1 to site2")
		b.world.SetDaemons(fakerbd.Primary, 2) // --cluster primary was given to both
		got := findings(t, b)
		require.Contains(t, got, "was --cluster primary given to both?")
		require.Contains(t, got, "rbd-mirror --cluster secondary")
		b.world.SetDown(fakerbd.Primary, true)
		require.Contains(t, findings(t, b), rbd.ErrUnreachable.Error())
	})
}

// One peer only: nothing flows back.
func TestDoctorNamesTheMissingPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, rbd.ModeSnapshot)
		b.ready("x")
		b.world.RemovePeer(fakerbd.Primary, pool)
		got := findings(t, b)
		require.Contains(t, got, "no peer to receive from: nothing flows from site2 to site1")
		b.world.SetDown(fakerbd.Primary, true)
		b.world.SetDown(fakerbd.Primary, false)
		s := b.must(array.Goal{Verb: array.Setup})
		require.Equal(t, "done", string(s.Result))
		require.NotContains(t, findings(t, b), "no peer")
	})
}
