package array

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStatesAndReasons(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	caps := everyVerb()
	caps.MaxAge = time.Hour
	for name, c := range map[string]struct {
		see   func(*Observation)
		state string
		code  ReasonCode // the first; empty: none
		next  string
	}{
		"up":      {func(*Observation) {}, "up", "", ""},
		"stopped": {func(o *Observation) { o.Replication = Stopped }, "warn", ReasonNotStarted, "ddsgo resume r"},
		"held":    {func(o *Observation) { o.Replication = Held }, "warn", ReasonSuspended, "ddsgo resume r"},
		"initial": {func(o *Observation) { o.Replication = Initial }, "warn", ReasonFirstCopy, ""},
		"error":   {func(o *Observation) { o.Replication = ReplicationError }, "down", ReasonNotStarted, "ddsgo resume r"},
		"old":     {func(o *Observation) { at := now.Add(-2 * time.Hour); o.LastSync = &at }, "warn", ReasonTooOld, "ddsgo update r"},
		"two":     {func(o *Observation) { o.Sides[1].Role = RolePrimary }, "down", ReasonTwoPrimaries, "ddsgo plan failback r --discard SITE"},
		"one side": {func(o *Observation) { o.Sides[0] = Side{Site: "a", Error: "dark"} }, "warn", ReasonUnreachable,
			"ddsgo plan failover r --site b"},
		"no side":       {func(o *Observation) { o.Sides = nil }, "unknown", "", ""},
		"unknown value": {func(o *Observation) { o.Replication = "upside down" }, "warn", ReasonUnknownValue, ""},
		"stale":         {func(o *Observation) { o.Members = []Member{{Name: "v", Sync: Stale}} }, "warn", ReasonNotSynced, "ddsgo update r"},
		"driver's own": {func(o *Observation) {
			o.Reasons = []Reason{{Code: ReasonAbsent, Text: "gone", Next: "look for it"}}
		}, "down", ReasonAbsent, "look for it"},
	} {
		t.Run(name, func(t *testing.T) {
			o := pairOf()
			c.see(&o)
			r := Report("r", caps, o, "b", now)
			require.Equal(t, c.state, r.State)
			if c.code == "" {
				require.Empty(t, r.Reasons)
			} else {
				require.Equal(t, string(c.code), r.Reasons[0].Code)
				require.NotEmpty(t, r.Reasons[0].Text)
			}
			if c.next == "" {
				require.Nil(t, r.Next)
			} else {
				require.Equal(t, c.next, *r.Next)
			}
			require.Len(t, r.Sides, 2)
		})
	}
}

func TestRoles(t *testing.T) {
	role := func(site string, see func(*Observation)) (string, bool) {
		o := pairOf()
		see(&o)
		r := Report("r", everyVerb(), o, site, time.Time{})
		return r.Role, r.Reversed
	}
	got, reversed := role("b", func(*Observation) {})
	require.Equal(t, "secondary", got)
	require.False(t, reversed)
	got, _ = role("", func(*Observation) {})
	require.Equal(t, "primary", got, "without a site: the home site's")
	got, reversed = role("a", func(o *Observation) { o.Sides[0].Role, o.Sides[1].Role = RoleSecondary, RolePrimary })
	require.Equal(t, "secondary", got)
	require.True(t, reversed)
	got, _ = role("a", func(o *Observation) { o.Sides[1].Role = RolePrimary })
	require.Equal(t, "both", got)
	got, _ = role("a", func(o *Observation) { o.Sides[0].Reachable = false })
	require.Equal(t, "unknown", got)
}

func TestReportErrorIsAResource(t *testing.T) {
	r := ReportError("r", everyVerb(), errors.New("no such key file"))
	require.Equal(t, "unknown", r.State)
	require.Equal(t, "no such key file", r.Reasons[0].Text)
	require.Len(t, r.Sides, 2)
}

func TestTri(t *testing.T) {
	for text, want := range map[string]Tri{"true": Yes, "false": No, "null": Unknown, `"yes"`: Yes, `"no"`: No, `"unknown"`: Unknown, `[]`: Unknown, `7`: Unknown} {
		got := Yes
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		require.Equal(t, want, got, text)
	}
	b, err := json.Marshal([]Tri{Yes, No, Unknown})
	require.NoError(t, err)
	require.Equal(t, "[true,false,null]", string(b))
}
