package infinibox_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/arraytest"
	"github.com/ddsgo/ddsgo/array/infinibox"
	simbox "github.com/ddsgo/ddsgo/sim/infinibox"
)

// full asks for every variant of every case, several minutes: make conformance-infinibox.
func full() bool { return os.Getenv("DDSGO_FULL") != "" }

// TestConformance runs the suite for both types of replication.
func TestConformance(t *testing.T) {
	for _, mode := range []string{infinibox.ModeAsync, infinibox.ModeSync} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.config.Mode = mode
			b.replicated()
			only := ""
			if testing.Short() {
				only = "failback"
			}
			arraytest.Test(t, lab{b}, arraytest.Options{Quick: !full(), Only: only})
			b.neverTwoWriters()
		})
	}
}

// neverTwoWriters is the global check: with the link up no second SOURCE ever began.
// (Cut off from each other, a failover makes two: that is what it is for.)
func (b *bed) neverTwoWriters() {
	b.t.Helper()
	for _, two := range b.world().TwoSources {
		require.False(b.t, two.LinkUp, "two SOURCEs began while the link was up")
	}
}

// expiring is a driver whose sessions end before each of its calls.
type expiring struct {
	array.Driver
	expire func()
}

// Observe implements array.Driver.
func (e expiring) Observe(ctx context.Context) (array.Observation, error) {
	e.expire()
	return e.Driver.Observe(ctx)
}

// Do implements array.Driver.
func (e expiring) Do(ctx context.Context, s array.Step) error {
	e.expire()
	return e.Driver.Do(ctx, s)
}

// expiringLab opens drivers whose sessions expire.
type expiringLab struct{ lab }

func (l expiringLab) Open(ctx context.Context, site string) (array.Driver, error) {
	d, err := l.lab.Open(ctx, site)
	return expiring{d, func() {
		l.sim.Faults().Clear(0, "", "expire_session")
		l.fault(0, "expire_session", nil, 1)
		l.fault(1, "expire_session", nil, 1)
	}}, err
}

// TestMatrix runs the suite against the variations of a box that are not public.
func TestMatrix(t *testing.T) {
	for _, mode := range []string{infinibox.ModeAsync, infinibox.ModeSync} {
		for _, features := range []bool{true, false} {
			for _, approval := range []int{403, 409} {
				for _, expire := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/features=%t/approval=%d/expire=%t", mode, features, approval, expire), func(t *testing.T) {
						t.Parallel()
						var change []func(*simbox.Options)
						if !features {
							change = append(change, without("replica_auto_create"), without("auth_sessions"))
						}
						b := newBed(t, change...)
						b.config.Mode = mode
						b.fault(-1, "approval_status", approval, 0)
						b.replicated()
						var l arraytest.Lab = lab{b}
						if expire {
							l = expiringLab{lab{b}}
						}
						if testing.Short() && features != expire {
							t.Skip("every second combination only, with -short")
						}
						only := "swap" // with make conformance-infinibox: all verbs
						if full() {
							only = ""
						}
						arraytest.Test(t, l, arraytest.Options{Quick: true, Only: only})
						b.neverTwoWriters()
					})
				}
			}
		}
	}
}
