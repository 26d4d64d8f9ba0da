package infinibox_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/infinibox"
	simbox "github.com/ddsgo/ddsgo/sim/infinibox"
)

// lastSeq is the newest number of the journal.
func (b *bed) lastSeq() uint64 {
	all := b.sim.Journal().Since(0)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].Seq
}

// created runs create and returns its requests with ids replaced by words.
func (b *bed) created(g array.Goal, words map[int64]string) []string {
	b.t.Helper()
	since := b.lastSeq()
	g.Verb = array.Create
	b.must(g)
	out := b.requests(since)
	for id, w := range words {
		for i := range out {
			out[i] = strings.ReplaceAll(out[i], fmt.Sprint(id), w)
		}
	}
	return out
}

func (b *bed) words(ids map[int64]string) map[int64]string {
	ids[b.first(0, "links?name=link1")] = "LINK"
	ids[b.first(1, "pools?name=p2")] = "POOL"
	return ids
}

// TestCreateNew is S4.1 and S4.5: the box creates the copy, in both generations of the body.
func TestCreateNew(t *testing.T) {
	for _, c := range []struct {
		kind, mode, golden, older string
	}{
		{"volume", "async",
			`{"link_id":LINK,"entity_type":"VOLUME","local_entity_id":SOURCE,"base_action":"NEW","remote_pool_id":POOL,"sync_interval":60000,"rpo_value":120000}`,
			`{"link_id":LINK,"entity_type":"VOLUME","remote_pool_id":POOL,"sync_interval":60000,"rpo_value":120000,"entity_pairs":[{"remote_base_action":"CREATE","local_entity_id":SOURCE,"remote_entity_id":null}]}`},
		{"volume", "sync",
			`{"link_id":LINK,"entity_type":"VOLUME","local_entity_id":SOURCE,"base_action":"NEW","remote_pool_id":POOL,"replication_type":"SYNC"}`,
			`{"link_id":LINK,"entity_type":"VOLUME","remote_pool_id":POOL,"replication_type":"SYNC","entity_pairs":[{"remote_base_action":"CREATE","local_entity_id":SOURCE,"remote_entity_id":null}]}`},
		{"filesystem", "async",
			`{"link_id":LINK,"entity_type":"FILESYSTEM","local_entity_id":SOURCE,"base_action":"NEW","remote_pool_id":POOL,"sync_interval":60000,"rpo_value":120000}`,
			`{"link_id":LINK,"entity_type":"FILESYSTEM","remote_pool_id":POOL,"sync_interval":60000,"rpo_value":120000,"entity_pairs":[{"remote_base_action":"CREATE","local_entity_id":SOURCE,"remote_entity_id":null}]}`},
		{"cg", "async",
			`{"link_id":LINK,"entity_type":"CONSISTENCY_GROUP","local_cg_id":SOURCE,"remote_pool_id":POOL,"sync_interval":60000,"rpo_value":120000,"entity_pairs":[{"remote_base_action":"CREATE","local_entity_id":A,"remote_entity_id":null},{"remote_base_action":"CREATE","local_entity_id":B,"remote_entity_id":null}]}`, ""},
		{"cg", "sync",
			`{"link_id":LINK,"entity_type":"CONSISTENCY_GROUP","local_cg_id":SOURCE,"remote_pool_id":POOL,"replication_type":"SYNC","entity_pairs":[{"remote_base_action":"CREATE","local_entity_id":A,"remote_entity_id":null},{"remote_base_action":"CREATE","local_entity_id":B,"remote_entity_id":null}]}`, ""},
	} {
		for _, auto := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%s/replica_auto_create=%t", c.kind, c.mode, auto), func(t *testing.T) {
				b := newBed(t, func(o *simbox.Options) { o.Features["replica_auto_create"] = auto })
				b.config.Kind, b.config.Mode = c.kind, c.mode
				if c.mode == "async" {
					b.config.Interval, b.config.RPO = time.Minute, 2*time.Minute
				}
				words := map[int64]string{}
				if c.kind == "cg" {
					words = b.group(0, "vol1", "a", "b")
				} else {
					words[b.entity(0, c.kind+"s", "vol1", megabyte)] = "SOURCE"
				}
				golden := c.golden
				if !auto && c.older != "" {
					golden = c.older
				}
				require.Equal(t, []string{"ibox1 POST /api/rest/replicas " + golden}, b.created(array.Goal{}, b.words(words)))
				b.idle()
				o := b.observe()
				require.Equal(t, site1, o.Primary())
				require.Equal(t, array.RoleSecondary, o.Side(site2).Role)
				require.Equal(t, array.Running, o.Replication, "%+v", o.Reasons)
				require.Equal(t, strings.ToUpper(c.mode), o.Mode)
				require.Equal(t, "up", array.Report("rep", b.driver().Capabilities(), o, "", time.Now()).State)
				require.Equal(t, "nothing_to_do", b.must(array.Goal{Verb: array.Create}).result)
			})
		}
	}
}

// group makes a consistency group with members of one megabyte.
func (b *bed) group(box int, name string, members ...string) map[int64]string {
	b.t.Helper()
	cg := b.entity(box, "cgs", name, 0)
	words := map[int64]string{cg: []string{"SOURCE", "TARGET"}[box]}
	for _, m := range members {
		id := b.volume(box, m, megabyte)
		b.rest(box, "POST", fmt.Sprintf("cgs/%d/members?approved=true", cg), fmt.Sprintf(`{"dataset_id":%d}`, id))
		words[id] = strings.ToUpper(m)
	}
	return words
}

// TestCreateExisting is S4.3: an existing, formatted target, and what it must not be.
func TestCreateExisting(t *testing.T) {
	existing := array.Goal{Params: map[string]string{"target": "existing"}}
	for _, mode := range []string{"async", "sync"} {
		t.Run(mode, func(t *testing.T) {
			b := newBed(t)
			b.config.Mode = mode
			words := b.words(map[int64]string{b.volume(0, "vol1", megabyte): "SOURCE", b.volume(1, "vol1", megabyte): "TARGET"})
			golden := map[string]string{"async": "", "sync": `"replication_type":"SYNC",`}[mode]
			require.Equal(t, []string{`ibox1 POST /api/rest/replicas {"link_id":LINK,"entity_type":"VOLUME",` + golden + `"entity_pairs":[{"remote_base_action":"NO_BASE_DATA","local_entity_id":SOURCE,"remote_entity_id":TARGET}]}`}, b.created(existing, words))
			b.idle()
			require.Equal(t, array.Running, b.observe().Replication)
		})
	}
	for name, c := range map[string]struct {
		kind   string
		build  func(b *bed)
		reason string
		exit   int
	}{
		"size":       {"volume", func(b *bed) { b.volume(1, "vol1", 2*megabyte) }, "has 2097152", 15},
		"not empty":  {"volume", func(b *bed) { b.volume(1, "vol1", megabyte); require.NoError(b.t, b.write(1, "vol1", "data")) }, "is not empty", 15},
		"missing":    {"volume", func(*bed) {}, "has no volume", 15},
		"filesystem": {"filesystem", func(b *bed) { b.entity(1, "filesystems", "vol1", megabyte) }, "cannot be replicated", 17},
		"link down":  {"volume", func(b *bed) { b.volume(1, "vol1", megabyte); b.fault(-1, "link_down", nil, 0) }, "link", 12},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.config.Kind = c.kind
			b.entity(0, c.kind+"s", "vol1", megabyte)
			c.build(b)
			since := b.lastSeq()
			g := existing
			g.Verb = array.Create
			s, err := b.run(g)
			require.ErrorContains(t, err, c.reason)
			require.Equal(t, c.exit, s.exit)
			require.Empty(t, b.requests(since), "refused before the first request that changes anything")
		})
	}
}

// TestCreateGroupExisting is S4.4 with a group that exists there: the map of members decides.
func TestCreateGroupExisting(t *testing.T) {
	b := newBed(t)
	b.config.Kind = infinibox.KindGroup
	words := b.group(0, "vol1", "a", "b")
	for id, w := range b.group(1, "vol1", "x", "y") {
		words[id] = w
	}
	g := array.Goal{Verb: array.Create, Params: map[string]string{"target": "existing"}}
	_, err := b.run(g)
	require.ErrorContains(t, err, "member a has no copy")
	for members, reason := range map[string]string{"a:x": "member b has no copy", "a:x,b:x": "named twice", "a": "write LOCAL:REMOTE", "a:x,a:y": "each once", "a:x,b:z": "member b"} {
		g.Params["members"] = members
		_, err := b.run(g)
		require.ErrorContains(t, err, reason, members)
	}
	g.Params["members"] = "a:y,b:x"
	require.Equal(t, []string{`ibox1 POST /api/rest/replicas {"link_id":LINK,"entity_type":"CONSISTENCY_GROUP","local_cg_id":SOURCE,"remote_cg_id":TARGET,"entity_pairs":[{"remote_base_action":"NO_BASE_DATA","local_entity_id":A,"remote_entity_id":Y},{"remote_base_action":"NO_BASE_DATA","local_entity_id":B,"remote_entity_id":X}]}`},
		b.created(g, b.words(words)))
	require.NoError(t, b.write(0, "a", "of a"))
	b.idle()
	b.must(array.Goal{Verb: array.Update})
	require.Equal(t, "of a", b.read(1, "y"))
	require.Equal(t, "y", b.observe().Members[0].Peer)
}

// TestCreateBase is S4.2: both sides hold a snapshot of one point in time. The snapshots
// are those that deleting a replica retains.
func TestCreateBase(t *testing.T) {
	for _, mode := range []string{"async", "sync"} {
		t.Run(mode, func(t *testing.T) {
			b := newBed(t)
			b.replicated()
			require.NoError(t, b.write(0, "vol1", "first"))
			b.must(array.Goal{Verb: array.Update})
			left := b.must(array.Goal{Verb: array.Delete, Force: true}).info
			require.NotEmpty(t, left[site1+"_base"])
			require.NotEmpty(t, left[site2+"_base"])
			require.NoError(t, b.write(0, "vol1", "second"))
			require.NoError(t, b.write(1, "vol1", "of site2"))
			b.config.Mode = mode

			g := array.Goal{Verb: array.Create, Params: map[string]string{"target": "base", "local_snapshot": left[site1+"_base"], "remote_snapshot": left[site2+"_base"]}}
			since := b.lastSeq()
			s, err := b.run(g)
			require.ErrorContains(t, err, "site2 holds writes that exist only there")
			require.Equal(t, 15, s.exit)
			require.Empty(t, b.requests(since))
			g.Discard = site2
			words := b.words(map[int64]string{
				b.first(0, "volumes?name=vol1"): "SOURCE", b.first(1, "volumes?name=vol1"): "TARGET",
				b.first(0, "volumes?name="+left[site1+"_base"]): "SNAP1", b.first(1, "volumes?name="+left[site2+"_base"]): "SNAP2",
			})
			golden := map[string]string{"async": "", "sync": `"replication_type":"SYNC",`}[mode]
			require.Equal(t, []string{`ibox1 POST /api/rest/replicas {"link_id":LINK,"entity_type":"VOLUME",` + golden + `"entity_pairs":[{"local_base_action":"BASE","remote_base_action":"BASE","local_entity_id":SOURCE,"remote_entity_id":TARGET,"local_base_entity_id":SNAP1,"remote_base_entity_id":SNAP2}]}`},
				b.created(g, words))
			b.idle()
			require.Equal(t, "second", b.read(1, "vol1"))
		})
	}
	t.Run("unproven", func(t *testing.T) {
		b := newBed(t)
		for box := range 2 {
			id := b.volume(box, "vol1", megabyte)
			b.rest(box, "POST", "volumes?approved=true", fmt.Sprintf(`{"name":"snap","parent_id":%d}`, id))
		}
		g := array.Goal{Verb: array.Create, Discard: site2, Params: map[string]string{"target": "base", "local_snapshot": "snap", "remote_snapshot": "snap"}}
		s, err := b.run(g)
		require.ErrorContains(t, err, "nothing proves")
		require.Equal(t, 15, s.exit)
		g.Force = true
		b.must(g)
	})
	t.Run("no such snapshot", func(t *testing.T) {
		b := newBed(t)
		b.volume(0, "vol1", megabyte)
		b.volume(1, "vol1", megabyte)
		g := array.Goal{Verb: array.Create, Params: map[string]string{"target": "base", "local_snapshot": "nosuch", "remote_snapshot": "x"}}
		_, err := b.run(g)
		require.ErrorContains(t, err, `has no snapshot "nosuch"`)
		delete(g.Params, "local_snapshot")
		_, err = b.run(g)
		require.ErrorContains(t, err, "needs --param local_snapshot=NAME")
	})
}

// TestCreateRefused: what the table or the boxes do not have, without one request that
// changes anything.
func TestCreateRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b *bed)
		params map[string]string
		exit   int
		reason string
	}{
		"base of a group":     {func(b *bed) { b.config.Kind = infinibox.KindGroup; b.group(0, "vol1", "a") }, map[string]string{"target": "base"}, 17, "cannot be replicated"},
		"unknown target":      {func(b *bed) { b.volume(0, "vol1", megabyte) }, map[string]string{"target": "old"}, 17, "cannot be replicated"},
		"unknown parameter":   {func(b *bed) { b.volume(0, "vol1", megabyte) }, map[string]string{"tarket": "new"}, 4, "means nothing"},
		"no source":           {func(*bed) {}, nil, 15, "has no volume"},
		"no pool there":       {func(b *bed) { b.volume(0, "vol1", megabyte); b.config.Sites[1].Pool = "nosuch" }, nil, 4, "does not exist"},
		"copy exists":         {func(b *bed) { b.volume(0, "vol1", megabyte); b.volume(1, "vol1", megabyte) }, nil, 15, "already"},
		"no link":             {func(b *bed) { b.volume(0, "vol1", megabyte); b.config.Link = "nosuch" }, nil, 15, "has no link"},
		"odd size":            {func(*bed) {}, map[string]string{"size": "1001"}, 4, "multiple of 512"},
		"peer does not react": {func(b *bed) { b.volume(0, "vol1", megabyte); b.fault(1, "mgmt_down", nil, 0) }, nil, 12, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			c.change(b)
			since := b.lastSeq()
			s, err := b.run(array.Goal{Verb: array.Create, Params: c.params})
			require.ErrorContains(t, err, c.reason)
			require.Equal(t, c.exit, s.exit)
			require.Empty(t, b.requests(since))
		})
	}
	t.Run("sync is off", func(t *testing.T) {
		b := newBed(t, without("sync_replication"))
		b.config.Mode = infinibox.ModeSync
		b.volume(0, "vol1", megabyte)
		s, err := b.run(array.Goal{Verb: array.Create})
		require.ErrorContains(t, err, "sync_replication")
		require.Equal(t, 17, s.exit)
	})
	for name, cfg := range map[string]infinibox.Config{
		"sync filesystem": {Mode: "sync", Kind: "filesystem", Entity: "f"},
		"sync interval":   {Mode: "sync", Entity: "f", Interval: time.Minute},
		"rpo":             {Mode: "async", Entity: "f", Interval: time.Minute, RPO: time.Minute},
		"mode":            {Mode: "both", Entity: "f"},
		"entity":          {Mode: "async", Kind: "lun", Entity: "f"},
		"name":            {Mode: "async"},
		"fractions":       {Mode: "async", Entity: "f", Interval: time.Microsecond},
	} {
		_, err := infinibox.New(cfg)
		require.Error(t, err, name)
	}
}

// TestCreateRollsBack: a source volume that the run made goes away when the replica is
// refused.
func TestCreateRollsBack(t *testing.T) {
	b := newBed(t)
	b.config.Interval, b.config.RPO = time.Second, time.Hour // less than the box takes
	since := b.lastSeq()
	s, err := b.run(array.Goal{Verb: array.Create, Params: map[string]string{"size": "1M"}})
	require.ErrorContains(t, err, "what was made is removed again")
	require.ErrorContains(t, err, "sync_interval")
	require.Equal(t, 16, s.exit)
	sent := b.requests(since)
	require.Contains(t, sent[0], "POST /api/rest/volumes")
	require.Contains(t, sent[len(sent)-1], "DELETE /api/rest/volumes/")
	require.Empty(t, b.world().Arrays[0].Volumes)
	require.Empty(t, b.world().Arrays[1].Volumes)

	b.config.Interval = time.Minute
	b.must(array.Goal{Verb: array.Create, Params: map[string]string{"size": "1M"}})
	require.Len(t, b.world().Arrays[0].Volumes, 1)

	// A volume that was there before stays.
	b = newBed(t)
	b.volume(0, "vol1", megabyte)
	b.config.Interval, b.config.RPO = time.Second, time.Hour
	_, err = b.run(array.Goal{Verb: array.Create, Params: map[string]string{"size": "1M"}})
	require.Error(t, err)
	require.Len(t, b.world().Arrays[0].Volumes, 1)
}

// TestCreateLostReply: the request was carried out, its answer is lost; or the replica
// was deleted meanwhile by somebody else.
func TestCreateLostReply(t *testing.T) {
	b := newBed(t)
	b.volume(0, "vol1", megabyte)
	f, since := "drop_reply", b.lastSeq()
	b.faultAt(0, f, "POST /api/rest/replicas", 1)
	require.Equal(t, "done", b.must(array.Goal{Verb: array.Create}).result)
	require.Len(t, b.requests(since), 1, "read, not repeated")

	b.idle()
	b.faultAt(0, f, "/sync", 1)
	gone := &vanishing{bed: b}
	s, err := array.Run(t.Context(), gone.wrap(b.driver()), array.Goal{Verb: array.Update}, array.Options{Resource: "NAME", Timeout: time.Minute, Sleep: b.sleep})
	require.ErrorContains(t, err, "has no replica")
	require.Equal(t, 1, s.ExitCode)
}
