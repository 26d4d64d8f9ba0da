package hp3par_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/hp3par"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/sim/control"
)

const minute = time.Minute

type fault = control.Fault

func attachGoal(host, delay string) array.Goal {
	g := array.Goal{Verb: array.VolumeAttach, Volume: volume, Params: map[string]string{"host": host}}
	if delay != "" {
		g.Params["conflict_delay"] = delay
	}
	return g
}

// S0.9: the second host waits, then the first one is cut off.
func TestMountConflictDelay(t *testing.T) {
	for _, method := range methods {
		t.Run(method, func(t *testing.T) {
			b := newLifeBench(t, method, nil)
			_, err := b.pursue(t, b.svc1(t), attachGoal("node1", ""), array.Options{})
			require.NoError(t, err)
			s, err := b.pursue(t, b.svc1(t), attachGoal("node2", ""), array.Options{})
			require.ErrorContains(t, err, "exported to node1")
			require.Contains(t, s.Next, "--param conflict_delay=30s")

			began := b.sim.Clock().Now()
			s, err = b.pursue(t, b.svc1(t), attachGoal("node2", "30"), array.Options{})
			require.NoError(t, err)
			require.GreaterOrEqual(t, b.sim.Clock().Now().Sub(began), 30*time.Second)
			require.Equal(t, map[string]string{"host": "node2", "lun": "0", "site": "site1", "cut_off": "node1"}, s.Info)
			require.Contains(t, b.holdings(), "vlun VV_SVC1_ROOT 0 node2")
			require.NotContains(t, b.holdings(), "node1")
			if method == "ssh" {
				require.Equal(t, []string{"hp3par1 createvlun VV_SVC1_ROOT auto node1", "hp3par1 removevlun -f VV_SVC1_ROOT 0 node1", "hp3par1 createvlun VV_SVC1_ROOT auto node2"}, b.changes())
			}
			s, err = b.pursue(t, b.svc1(t), attachGoal("node2", "30"), array.Options{})
			require.NoError(t, err)
			require.Equal(t, report.ResultNothingToDo, s.Result)
		})
	}
}

// A host that lets go in time is not cut off.
func TestConflictEndsByItself(t *testing.T) {
	b := newLifeBench(t, "ssh", nil)
	_, err := b.pursue(t, b.svc1(t), attachGoal("node1", ""), array.Options{})
	require.NoError(t, err)
	s, err := b.pursue(t, b.svc1(t), attachGoal("node2", "1h"), array.Options{OnWait: func(w report.Wait) {
		require.Contains(t, w.What, "node1 to let go of VV_SVC1_ROOT")
		_, rc, err := b.arrays[0].Raw(t.Context(), "removevlun -f VV_SVC1_ROOT 0 node1")
		require.NoError(t, err)
		require.Zero(t, rc)
	}})
	require.NoError(t, err)
	require.NotContains(t, s.Info, "cut_off")
	require.Equal(t, "node2", s.Info["host"])
}

func TestAttachRefusals(t *testing.T) {
	b := newLifeBench(t, "ssh", nil)
	_, err := b.pursue(t, b.svc1(t), attachGoal("node1", ""), array.Options{})
	require.NoError(t, err)
	before := b.holdings()
	for want, g := range map[string]array.Goal{
		"knows no host nobody":   attachGoal("nobody", "1s"),
		"has no volume NOSUCH":   {Verb: array.VolumeAttach, Volume: "NOSUCH", Params: map[string]string{"host": "node1"}},
		"could not write there":  {Verb: array.VolumeAttach, Volume: volume, Params: map[string]string{"host": "node1", "site": "site2"}},
		"host: is missing":       {Verb: array.VolumeAttach, Volume: volume},
		"is no LUN":              {Verb: array.VolumeAttach, Volume: volume, Params: map[string]string{"host": "node2", "lun": "99999"}},
		"write 30s or 5m":        attachGoal("node2", "soon"),
		"means nothing":          {Verb: array.VolumeAttach, Volume: volume, Params: map[string]string{"host": "node2", "size": "1G"}},
		`unknown site "site3"`:   {Verb: array.VolumeDetach, Volume: volume, Params: map[string]string{"host": "node2", "site": "site3"}},
		"is exported to node1":   {Verb: array.VolumeDelete, Volume: volume, Force: true},
		"no name that an array":  {Verb: array.VolumeAttach, Volume: "a b", Params: map[string]string{"host": "node2"}},
		"nothing that an array ": attachGoal("node2;reboot", ""),
	} {
		_, err := b.pursue(t, b.svc1(t), g, array.Options{})
		require.ErrorContains(t, err, want)
		require.Equal(t, before, b.holdings(), want)
	}
}

func TestDetach(t *testing.T) {
	for _, method := range methods {
		b := newLifeBench(t, method, nil)
		_, err := b.pursue(t, b.svc1(t), attachGoal("node1", ""), array.Options{})
		require.NoError(t, err)
		g := array.Goal{Verb: array.VolumeDetach, Volume: volume, Params: map[string]string{"host": "node1"}}
		for _, want := range []string{report.ResultDone, report.ResultNothingToDo} {
			s, err := b.pursue(t, b.svc1(t), g, array.Options{})
			require.NoError(t, err)
			require.Equal(t, want, s.Result)
		}
		require.NotContains(t, b.holdings(), "vlun")
	}
}

// S0.1: after a change of direction the operator is told what is still to be exported, and how;
// with the commands done, nothing is left to tell.
func TestExportsAfterFailover(t *testing.T) {
	for _, method := range methods {
		t.Run(method, func(t *testing.T) {
			b := newLifeBench(t, method, nil)
			g := attachGoal("node1", "")
			g.Params["lun"] = "5"
			_, err := b.pursue(t, b.svc1(t), g, array.Options{})
			require.NoError(t, err)
			want := map[string]string{"export VV_SVC1_ROOT to node1": "ddsgo array volume attach svc1 VV_SVC1_ROOT --host node1 --param site=site2 --param lun=5"}
			failover := array.Goal{Verb: array.Failover, Site: "site2", Force: true}
			s, err := b.pursue(t, b.svc1(t), failover, array.Options{})
			require.NoError(t, err)
			require.Equal(t, want, s.Info)
			s, err = b.pursue(t, b.svc1(t), failover, array.Options{})
			require.NoError(t, err)
			require.Equal(t, report.ResultNothingToDo, s.Result)
			require.Equal(t, want, s.Info, "who asks again is told again")
			_, err = b.pursue(t, b.svc1(t), g, array.Options{}) // of two primaries the one that was failed over
			require.NoError(t, err)
			s, err = b.pursue(t, b.svc1(t), failover, array.Options{})
			require.NoError(t, err)
			require.Empty(t, s.Info)
			require.Contains(t, b.holdings(), "hp3par2.opensvc.com vlun VV_SVC1_ROOT 5 node1")

			_, err = b.pursue(t, b.svc1(t), array.Goal{Verb: array.VolumeDetach, Volume: volume, Params: map[string]string{"host": "node1", "site": "site1"}}, array.Options{})
			require.NoError(t, err)
			s, err = b.pursue(t, b.svc1(t), array.Goal{Verb: array.Failback, Prepare: true, Discard: "site1"}, array.Options{})
			require.NoError(t, err)
			require.Empty(t, s.Info, "site1 is not primary yet")
			s, err = b.pursue(t, b.svc1(t), array.Goal{Verb: array.Failback, WritersStopped: true}, array.Options{})
			require.NoError(t, err)
			require.Equal(t, "ddsgo array volume attach svc1 VV_SVC1_ROOT --host node1 --param site=site1 --param lun=5", s.Info["export VV_SVC1_ROOT to node1"])
		})
	}
}

// With the first array gone nobody can tell who had the volumes: the configuration may, else the
// operator is told that it is not known.
func TestExportsAfterDisaster(t *testing.T) {
	for _, hosts := range [][]string{nil, {"node1", "node2"}} {
		b := newLifeBench(t, "ssh", nil)
		require.NoError(t, b.sim.AddFault("hp3par1.opensvc.com", "array_down", true))
		c := b.config()
		c.Sites[1].Hosts = hosts
		d, err := hp3par.New(c)
		require.NoError(t, err)
		s, err := b.pursue(t, d, array.Goal{Verb: array.Start, Site: "site2"}, array.Options{})
		require.NoError(t, err)
		if hosts == nil {
			require.Contains(t, s.Info["exports"], "export VV_SVC1_ROOT to them with ddsgo array volume attach svc1 VOLUME --host HOST")
			continue
		}
		require.Equal(t, map[string]string{
			"export VV_SVC1_ROOT to node1": "ddsgo array volume attach svc1 VV_SVC1_ROOT --host node1 --param site=site2",
			"export VV_SVC1_ROOT to node2": "ddsgo array volume attach svc1 VV_SVC1_ROOT --host node2 --param site=site2",
		}, s.Info)
	}
}

// A proxy that does not allow showvlun costs the list, not the failover.
func TestExportsThatMayNotBeRead(t *testing.T) {
	b := newLifeBench(t, "ssh", nil)
	_, err := b.sim.Faults().Add(fault{Kind: "refuse", Value: []byte(`"this command is not allowed"`), Match: "showvlun"})
	require.NoError(t, err)
	s, err := b.pursue(t, b.svc1(t), array.Goal{Verb: array.Failover, Site: "site2", Force: true}, array.Options{})
	require.NoError(t, err)
	require.Contains(t, s.Info["exports"], "this command is not allowed")
}

// array show tells who has which volume, on both arrays.
func TestShowTellsExports(t *testing.T) {
	for _, method := range methods {
		b := newLifeBench(t, method, nil)
		_, err := b.pursue(t, b.svc1(t), attachGoal("node1", ""), array.Options{})
		require.NoError(t, err)
		what, err := b.svc1(t).Show(t.Context())
		require.NoError(t, err)
		text, err := json.Marshal(what)
		require.NoError(t, err)
		require.Contains(t, string(text), `"exports":[{"volume":"VV_SVC1_ROOT","lun":0,"host":"node1"}]`)
		require.Contains(t, string(text), `"hosts":["node1","node2"]`)
	}
}
