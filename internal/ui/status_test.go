package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/report"
)

func TestStatusShowsReasonAndNext(t *testing.T) {
	lagSeconds, next, at := 93784.0, "ddsgo resume svc1", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := report.Status{Resources: []report.Resource{
		{Name: "svc1", Driver: "hp3par", Mode: "async", State: "warn", Role: "primary", Link: "up", Replication: "stopped", LagSeconds: &lagSeconds, LastSync: &at,
			Sides:   []report.Side{{Site: "site1", Reachable: true, Role: "primary"}, {Site: "site2"}},
			Reasons: []report.Reason{{Code: "not_started", Text: "replication is stopped"}}, Next: &next},
		{Name: "a-much-longer-name", Driver: "rbd", State: "up", Role: "secondary", Link: "up", Replication: "running", Reversed: true,
			Sides: []report.Side{{Site: "site1"}, {Site: "site2", Reachable: true, Role: "primary"}}},
	}}
	var out strings.Builder
	require.NoError(t, Status(&out, s, StatusOptions{Zone: time.UTC}))
	require.Equal(t, strings.Join([]string{
		"RESOURCE            DRIVER  MODE   STATE  ROLE       PRIMARY           LINK  REPLICATION  LAG   LAST SYNC            LEFT",
		"svc1                hp3par  async  warn   primary    site1             up    stopped      1d2h  2026-01-02 03:04:05  -",
		"    not_started: replication is stopped",
		"    next: ddsgo resume svc1",
		"a-much-longer-name  rbd     -      up     secondary  site2 (reversed)  up    running      -     -                    -",
		"",
	}, "\n"), out.String())
}

func TestLag(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0s", 59: "59s", 61: "1m1s", 3700: "1h1m", 90000: "1d1h"} {
		require.Equal(t, want, lag(&seconds))
	}
}
