package infinibox_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array/arraytest"
	"github.com/ddsgo/ddsgo/array/infinibox"
)

// TestConformance runs the whole suite for both types of replication.
func TestConformance(t *testing.T) {
	for _, mode := range []string{infinibox.ModeAsync, infinibox.ModeSync} {
		t.Run(mode, func(t *testing.T) {
			b := newBed(t)
			b.config.Mode = mode
			b.replicated()
			arraytest.Test(t, lab{b}, arraytest.Options{Quick: testing.Short()})
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

// TestMatrix runs the suite against the variations of a box that are not public.
func TestMatrix(t *testing.T) {
	for _, mode := range []string{infinibox.ModeAsync, infinibox.ModeSync} {
		for _, features := range []bool{true, false} {
			for _, approval := range []int{403, 409} {
				for _, expire := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/features=%t/approval=%d/sessions expire=%t", mode, features, approval, expire), func(t *testing.T) {
						b := newBed(t)
						if !features {
							b = newBed(t, without("replica_auto_create"), without("auth_sessions"))
						}
						b.config.Mode = mode
						b.replicated()
						b.fault(-1, "approval_status", approval, 0)
						if expire { // before every request: each costs a login
							b.fault(-1, "expire_session", nil, 0)
						}
						arraytest.Test(t, lab{b}, arraytest.Options{Quick: true})
						b.neverTwoWriters()
					})
				}
			}
		}
	}
}
