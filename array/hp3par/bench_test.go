package hp3par

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
)

// counted is an array that counts its commands.
type counted struct {
	literal
	n atomic.Int32
}

func (c *counted) carry(ctx context.Context, command string, bare bool) (string, int, error) {
	c.n.Add(1)
	return c.literal.carry(ctx, command, bare)
}

// thousand is what two arrays with 1,000 groups of ten volumes print.
func thousand(peer, suffix, role string) string {
	var b strings.Builder
	for g := range 1000 {
		fmt.Fprintf(&b, "RCG.SVC%04d%s,%s,Started,%s,Periodic,\"Last-Sync 2014-03-25 16:12:47 CET , Period 5m, auto_recover,over_per_alert\"\n", g, suffix, peer, role)
		for v := range 10 {
			fmt.Fprintf(&b, " ,VV_SVC%04d_%02d,%d,VV_SVC%04d_%02d,%d,Synced,2014-03-25 16:12:48 CET\n", g, v, 31110+10*g+v, g, v, 31079+10*g+v)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// statusOfAll is `ddsgo status --all --json` without the process around it.
func statusOfAll(t testing.TB, home, away *counted) int {
	sites := [2]*Array{}
	for i, c := range []*counted{home, away} {
		a, err := Options{Name: []string{"a", "b"}[i], Timezones: map[string]string{"CET": "+01:00"}}.commandLine(c)
		require.NoError(t, err)
		sites[i] = a
	}
	size := 0
	for g := range 1000 {
		name := fmt.Sprintf("RCG.SVC%04d", g)
		d, err := New(Config{Name: name, Mode: "async", MaxAge: time.Hour, Sites: [2]Site{{Name: "site1", Array: sites[0], Group: name}, {Name: "site2", Array: sites[1], Group: name + ".r1"}}})
		require.NoError(t, err)
		o, err := d.Observe(t.Context())
		require.NoError(t, err)
		r := array.Report(name, d.Capabilities(), o, "site1", time.Date(2014, 3, 25, 15, 14, 47, 0, time.UTC))
		require.Equal(t, "up", r.State)
		require.Len(t, r.Members, 10)
		text, err := json.Marshal(r)
		require.NoError(t, err)
		size += len(text)
	}
	return size
}

func cpu(t testing.TB) time.Duration {
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// The status of 1,000 groups with 10,000 volumes: one listing for all of them, in less than a second of
// CPU time.
func TestStatusOfAThousandGroups(t *testing.T) {
	home, away := &counted{literal: literal{groups: thousand("b", "", "Primary"), links: linksToB}}, &counted{literal: literal{groups: thousand("a", ".r1", "Secondary"), links: linksToA}}
	start := cpu(t)
	statusOfAll(t, home, away)
	took := cpu(t) - start
	require.Equal(t, [2]int32{2, 2}, [2]int32{home.n.Load(), away.n.Load()}, "showrcopy groups and showrcopy links, once on each array")
	require.Less(t, took, time.Second)
	t.Logf("%s of CPU time", took)
}

func BenchmarkStatusOfAThousandGroups(b *testing.B) {
	home, away := &counted{literal: literal{groups: thousand("b", "", "Primary"), links: linksToB}}, &counted{literal: literal{groups: thousand("a", ".r1", "Secondary"), links: linksToA}}
	for b.Loop() {
		b.SetBytes(int64(statusOfAll(b, home, away)))
	}
}
