package infinibox

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/sim/control"
)

// fuzzWorld is a simulator without sockets that holds one of everything.
func fuzzWorld(t *testing.T) *world {
	t.Helper()
	clock, err := control.NewClock(control.Manual, time.Unix(1_700_000_000, 0))
	require.NoError(t, err)
	opt, err := Options{Dir: "unused", Features: map[string]bool{featureActiveActive: true}, Version: "8.4"}.withDefaults()
	require.NoError(t, err)
	w := &world{opt: opt, clock: clock, store: memoryStore{}}
	w.faults = control.NewFaults(faultKinds(), []string{boxName(0), boxName(1)}, nil)
	require.NoError(t, w.resetBoxes())
	for _, call := range []string{
		`POST volumes {"name":"v","pool_id":1005,"size":1048576}`, // 1007
		`POST cgs {"name":"cg","pool_id":1005}`,                   // 1008
		`POST cgs/1008/members {"dataset_id":1007}`,               //
		`POST replicas {"link_id":1006,"entity_type":"CONSISTENCY_GROUP","local_entity_id":1008,"base_action":"NEW","remote_pool_id":500005}`,                // 1009
		`POST volumes {"name":"w","pool_id":1005,"size":1048576}`,                                                                                            // 1011
		`POST replicas {"link_id":1006,"entity_type":"VOLUME","local_entity_id":1011,"base_action":"NEW","remote_pool_id":500005,"replication_type":"SYNC"}`, // 1012
	} {
		_, e := w.call(0, call)
		require.Nil(t, e, "%s: %v", call, e)
	}
	require.NoError(t, clock.Advance(time.Minute))
	w.settle()
	return w
}

// call carries out "METHOD path?query body" on a box.
func (w *world) call(index int, line string) (any, *apiError) {
	method, rest, _ := strings.Cut(line, " ")
	path, body, _ := strings.Cut(rest, " ")
	path, query, _ := strings.Cut(path, "?")
	q, _ := url.ParseQuery(query)
	result, _, err := w.dispatch(&request{box: w.boxes[index], user: "admin", method: method, path: path, query: q, body: []byte(body)})
	return result, err
}

// FuzzRequests sends any two requests to a box that holds one of everything:
// nothing panics, every answer can be encoded, time goes on afterwards, and the
// link being up there are never two SOURCEs.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		`GET volumes?name=like:v&sort=-id&fields=id,name&page=2`,
		`GET replicas/1009`,
		`GET remote/1006/api/rest/replicas?role=eq:TARGET`,
		`DELETE cgs/1008/members/1007?approved=true&force_on_local=true`,
		`DELETE replicas/1009?approved=true&retain_staging_area=true&force_if_remote_error=true`,
		`DELETE replicas/1009?approved=true&force_on_local=true`,
		`POST replicas/1012/switch_role?approved=true`,
		`POST replicas/1009/suspend`,
		`POST replicas/1009/change_role?approved=true null`,
		`POST replicas/1012/change_type_to_async?approved=true {"sync_interval":60000,"rpo_value":120000}`,
		`POST cgs/1008/members {"dataset_id":1011,"replication_pair_info":{"remote_base_action":"CREATE"}}`,
		`POST replicas {"link_id":1006,"entity_type":"VOLUME","entity_pairs":[{"local_base_action":"BASE","remote_base_action":"BASE","local_entity_id":1011,"remote_entity_id":500009,"local_base_entity_id":1,"remote_base_entity_id":2}]}`,
		`POST volumes?replicate_to_async_target=True {"name":"s","parent_id":1007}`,
		`PUT links/1006 {"name":"l","local_replication_network_space_id":null}`,
		`POST network/spaces {"name":"n","service":"RMR_SERVICE","network_config":{"network":"10.0.0.0","netmask":8}}`,
		`DELETE network/spaces/1004?approved=true`,
	} {
		f.Add(seed, `POST replicas/1009/sync`, false)
		f.Add(`POST replicas/1009/suspend`, seed, true)
	}
	f.Fuzz(func(t *testing.T, first, second string, onPeer bool) {
		w := fuzzWorld(t)
		for i, line := range []string{first, second} {
			box := 0
			if i == 1 && onPeer {
				box = 1
			}
			result, e := w.call(box, line)
			if e == nil {
				_, err := json.Marshal(result)
				require.NoError(t, err, line)
			} else {
				require.True(t, e.status >= 400 && e.code != "" && e.status != 500, "%s: %v", line, e)
			}
			require.NoError(t, w.clock.Advance(time.Hour))
			w.settle()
		}
		for _, two := range w.twoSources {
			require.False(t, two.LinkUp, fmt.Sprint(two))
		}
	})
}
