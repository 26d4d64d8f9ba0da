package hp3par

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/internal/report"
)

// literal is an array that answers with the bytes of a test. dead: it does not answer at all.
type literal struct{ groups, links, dead string }

func (l literal) carry(_ context.Context, command string, _ bool) (string, int, error) {
	switch {
	case l.dead != "":
		return "", 0, &silence{errors.New(l.dead), true}
	case command == showGroups:
		return l.groups, 0, nil
	}
	return l.links, 0, nil
}

func (literal) close() error { return nil }

// A healthy pair, as the sample of OpenSVC's documentation shows it.
const (
	sampleHome  = "G,b,Started,Primary,Periodic,\"Last-Sync 2014-03-25 16:12:47 CET , Period 5m, auto_recover,over_per_alert\"\n ,V,31110,V,31079,Synced,2014-03-25 16:12:48 CET\n\n"
	sampleAway  = "G.r1,a,Started,Secondary,Periodic,\"Period 5m, auto_recover,over_per_alert\"\n ,V,31079,V,31110,Synced,2014-03-25 16:12:48 CET\n\n"
	syncHome    = "G,b,Started,Primary,Sync,auto_recover\n ,V,1,V,2,Synced,NA\n\n"
	syncAway    = "G.r1,a,Started,Secondary,Sync,auto_recover\n ,V,2,V,1,Synced,NA\n\n"
	linksToB    = "b,0:3:1,192.0.2.20,Up,-\nreceive,0:3:1,receive,Up,-\n"
	linksToA    = "a,0:3:1,192.0.2.10,Up,-\nreceive,0:3:1,receive,Up,-\n"
	linksBDown  = "b,0:3:1,192.0.2.20,Down,-\nb,1:3:1,192.0.2.21,Down,-\nreceive,0:3:1,receive,Up,-\n"
	linksADown  = "a,0:3:1,192.0.2.10,Down\n"
	noSuchGroup = "H,b,Started,Primary,Sync,\n"
)

// Every rule of the seed's Status section and of the facts, each on the bytes that call for it.
func TestStatusRules(t *testing.T) {
	now := time.Date(2014, 3, 25, 15, 14, 47, 0, time.UTC)
	type pair struct{ home, away, linksHome, linksAway string }
	type want struct {
		state, link, replication string
		codes                    []string
	}
	with := func(home string) pair { return pair{home: home} }
	for name, c := range map[string]struct {
		pair   pair
		mode   string
		maxAge time.Duration
		now    time.Time
		want   want
	}{
		"periodic, healthy":                        {pair{}, "async", 5 * time.Minute, now, want{"up", "up", "running", nil}},
		"sync, healthy: NA is no time":             {pair{home: syncHome, away: syncAway}, "sync", 5 * time.Minute, now, want{"up", "up", "running", nil}},
		"not started":                              {with("G,b,Stopped,Primary,Periodic,\"Last-Sync 2014-03-25 16:12:47 CET , Period 5m, auto_recover\"\n ,V,1,V,2,Synced,2014-03-25 16:12:48 CET\n"), "async", 0, now, want{"warn", "up", "stopped", []string{"not_started"}}},
		"new":                                      {with("G,b,New,Primary,Periodic,\"Period 5m, auto_recover\"\n ,V,1,V,2,New,NA\n"), "async", 0, now, want{"warn", "up", "stopped", []string{"not_started", "first_copy"}}},
		"async, not Periodic":                      {pair{home: syncHome, away: syncAway}, "async", 0, now, want{"warn", "up", "running", []string{"wrong_mode"}}},
		"sync, not Sync":                           {pair{}, "sync", 0, now, want{"warn", "up", "running", []string{"wrong_mode"}}},
		"streaming serves async":                   {with("G,b,Started,Primary,Async,\"Last-Sync 2014-03-25 16:12:47 CET , auto_recover\"\n ,V,1,V,2,Synced,2014-03-25 16:12:48 CET\n"), "async", 0, now, want{"up", "up", "running", nil}},
		"no period":                                {with("G,b,Started,Primary,Periodic,\"Last-Sync 2014-03-25 16:12:47 CET , auto_recover\"\n ,V,1,V,2,Synced,2014-03-25 16:12:48 CET\n"), "async", 0, now, want{"warn", "up", "running", []string{"no_period"}}},
		"no auto_recover, empty options":           {pair{home: "G,b,Started,Primary,Sync,\n ,V,1,V,2,Synced,NA\n", away: syncAway}, "sync", 0, now, want{"warn", "up", "running", []string{"no_auto_recover"}}},
		"a volume that is NotSynced":               {with("G,b,Started,Primary,Periodic,\"Last-Sync 2014-03-25 16:12:47 CET , Period 5m, auto_recover\"\n ,V,1,V,2,Synced,2014-03-25 16:12:48 CET\n ,W,3,W,4,NotSynced,2014-03-25 16:12:48 CET\n"), "async", 0, now, want{"warn", "up", "running", []string{"not_synced"}}},
		"a volume that is Syncing":                 {with("G,b,Started,Primary,Periodic,\"Last-Sync 2014-03-25 16:12:47 CET , Period 5m, auto_recover\"\n ,V,1,V,2,Syncing (100%),2014-03-25 16:12:48 CET\n"), "async", 0, now, want{"warn", "up", "running", []string{"not_synced"}}},
		"a sync volume that is Syncing":            {pair{home: "G,b,Started,Primary,Sync,auto_recover\n ,V,1,V,2,Syncing,NA\n", away: syncAway}, "sync", 0, now, want{"warn", "up", "running", []string{"not_synced"}}},
		"never synced":                             {with("G,b,Started,Primary,Periodic,\"Period 5m, auto_recover\"\n ,V,1,V,2,Syncing,NA\n"), "async", 0, now, want{"warn", "up", "initial", []string{"first_copy"}}},
		"a group without volumes":                  {with("G,b,Stopped,Primary,Periodic,\"Period 5m, auto_recover\"\n"), "async", 0, now, want{"warn", "up", "stopped", []string{"not_started", "not_synced"}}},
		"too old":                                  {pair{}, "async", 2 * time.Minute, now.Add(time.Minute), want{"warn", "up", "running", []string{"too_old"}}},
		"one volume is too old":                    {with("G,b,Started,Primary,Periodic,\"Last-Sync 2014-03-25 16:12:47 CET , Period 5m, auto_recover\"\n ,V,1,V,2,Synced,2014-03-25 16:12:48 CET\n ,W,3,W,4,Synced,2014-03-25 15:12:48 CET\n"), "async", 10 * time.Minute, now, want{"warn", "up", "running", []string{"too_old"}}},
		"the array's clock is ahead":               {with("G,b,Started,Primary,Periodic,\"Last-Sync 2014-03-25 16:24:47 CET , Period 5m, auto_recover\"\n ,V,1,V,2,Synced,2014-03-25 16:24:48 CET\n"), "async", 10 * time.Minute, now, want{"warn", "up", "running", []string{"unknown_value"}}},
		"a zone that is not in the table":          {with("G,b,Started,Primary,Periodic,\"Last-Sync 2014-03-25 16:12:47 IST, Period 5m,auto_recover\"\n ,V,1,V,2,Synced,2014-03-25 16:12:48 IST\n"), "async", 10 * time.Minute, now, want{"warn", "up", "running", []string{"unknown_value"}}},
		"link down":                                {pair{linksHome: linksBDown, linksAway: linksADown}, "async", 0, now, want{"warn", "down", "stopped", []string{"not_started"}}},
		"a link status that is not known":          {pair{linksHome: "b,0:3:1,192.0.2.20,Sideways,-\n"}, "async", 0, now, want{"warn", "up", "running", []string{"unknown_value"}}},
		"absent at home":                           {with(noSuchGroup), "async", 0, now, want{"down", "up", "running", []string{"absent"}}},
		"absent on both":                           {pair{home: noSuchGroup, away: noSuchGroup}, "async", 0, now, want{"down", "up", "stopped", []string{"absent", "absent", "not_started"}}},
		"failsafe":                                 {with("G,b,Failsafe,Primary,Periodic,\"Last-Sync 2014-03-25 16:12:47 CET , Period 5m, auto_recover\"\n ,V,1,V,2,Synced,2014-03-25 16:12:48 CET\n"), "async", 0, now, want{"down", "up", "error", []string{"not_started"}}},
		"a role that is not known":                 {with("G,b,Started,Tertiary,Periodic,\"Last-Sync 2014-03-25 16:12:47 CET , Period 5m, auto_recover\"\n ,V,1,V,2,Synced,2014-03-25 16:12:48 CET\n"), "async", 0, now, want{"down", "up", "error", []string{"unknown_value", "not_started"}}},
		"a status that is not known":               {with("G,b,Dreaming,Primary,Periodic,\"Last-Sync 2014-03-25 16:12:47 CET , Period 5m, auto_recover\"\n ,V,1,V,2,Synced,2014-03-25 16:12:48 CET\n"), "async", 0, now, want{"warn", "up", "running", []string{"unknown_value", "not_started"}}},
		"a mode that is not known":                 {with("G,b,Started,Primary,Telepathic,\"Last-Sync 2014-03-25 16:12:47 CET , Period 5m, auto_recover\"\n ,V,1,V,2,Synced,2014-03-25 16:12:48 CET\n"), "async", 0, now, want{"warn", "up", "running", []string{"unknown_value"}}},
		"a sync status that is not known":          {with("G,b,Started,Primary,Periodic,\"Last-Sync 2014-03-25 16:12:47 CET , Period 5m, auto_recover\"\n ,V,1,V,2,Sinking,2014-03-25 16:12:48 CET\n"), "async", 0, now, want{"warn", "up", "running", []string{"unknown_value"}}},
		"two primaries":                            {pair{home: "G,b,Stopped,Primary,Periodic,\"Last-Sync 2014-03-25 16:12:47 CET , Period 5m, auto_recover\"\n ,V,1,V,2,Synced,2014-03-25 16:12:48 CET\n", away: "G.r1,a,Stopped,Primary-Rev,Periodic,\"Period 5m, auto_recover\"\n ,V,2,V,1,Synced,2014-03-25 16:12:48 CET\n"}, "async", 0, now, want{"down", "up", "stopped", []string{"not_started", "two_primaries"}}},
		"away silent":                              {pair{away: "dead"}, "async", 0, now, want{"warn", "up", "running", []string{"unreachable"}}},
		"home silent: no Last-Sync, which is fine": {with("dead"), "async", 5 * time.Minute, now, want{"warn", "up", "running", []string{"unreachable"}}},
		"both silent":                              {pair{home: "dead", away: "dead"}, "async", 0, now, want{"unknown", "unknown", "unknown", []string{"unreachable"}}},
	} {
		t.Run(name, func(t *testing.T) {
			home, away := literal{groups: or(c.pair.home, sampleHome), links: or(c.pair.linksHome, linksToB)}, literal{groups: or(c.pair.away, sampleAway), links: or(c.pair.linksAway, linksToA)}
			for _, l := range []*literal{&home, &away} {
				if l.groups == "dead" {
					l.dead = "connection refused"
				}
			}
			d, err := New(Config{Name: "svc1", Mode: c.mode, MaxAge: c.maxAge, Sites: [2]Site{literalSite(t, "site1", "a", "G", home), literalSite(t, "site2", "b", "G.r1", away)}})
			require.NoError(t, err)
			o, err := d.Observe(t.Context())
			require.NoError(t, err)
			r := array.Report("svc1", d.Capabilities(), o, "site1", c.now)
			codes := []string(nil)
			for _, why := range r.Reasons {
				codes = append(codes, why.Code)
			}
			require.Equal(t, c.want, want{r.State, r.Link, r.Replication, codes}, "%+v", r.Reasons)
			if r.State == report.StateUp && c.mode == "async" {
				require.Equal(t, "2014-03-25T15:12:47Z", r.LastSync.Format(time.RFC3339))
			}
		})
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func literalSite(t *testing.T, name, array, group string, l literal) Site {
	t.Helper()
	a, err := Options{Name: array, Timezones: map[string]string{"CET": "+01:00"}, Sleep: func(context.Context, time.Duration) error { return nil }}.commandLine(l)
	require.NoError(t, err)
	return Site{Name: name, Array: a, Group: group}
}

// A delay that a healthy group exceeds is a mistake of the configuration, and no fault of the group.
func TestDelayBelowTwoPeriods(t *testing.T) {
	home, away := literal{groups: sampleHome, links: linksToB}, literal{groups: sampleAway, links: linksToA}
	for delay, warned := range map[time.Duration]bool{9 * time.Minute: true, 10 * time.Minute: false, 0: false} {
		c := Config{Name: "svc1", Mode: "async", MaxAge: delay, Period: 5 * time.Minute, Sites: [2]Site{literalSite(t, "site1", "a", "G", home), literalSite(t, "site2", "b", "G.r1", away)}}
		d, err := New(c)
		require.NoError(t, err)
		require.Equal(t, warned, len(d.Warnings()) == 1, "the period of the configuration")
		o, err := d.Observe(t.Context())
		require.NoError(t, err)
		r := array.Report("svc1", d.Capabilities(), o, "site1", time.Date(2014, 3, 25, 15, 14, 47, 0, time.UTC))
		_, said := r.Sides[0].Native["warning"]
		require.Equal(t, warned, said, "the period that the array shows")
		require.Equal(t, "up", r.State)
	}
}
