package infinibox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/arraytest"
	"github.com/ddsgo/ddsgo/array/infinibox"
	"github.com/ddsgo/ddsgo/sim/control"
	simbox "github.com/ddsgo/ddsgo/sim/infinibox"
)

const (
	site1 = "site1"
	site2 = "site2"
)

// bed is a simulated pair of boxes and the driver's view of one resource on it.
type bed struct {
	t      testing.TB
	sim    *simbox.Sim
	config infinibox.Config
	opened []*infinibox.Driver
	writes int
}

// newBed starts the boxes; nothing is replicated yet.
func newBed(t testing.TB, change ...func(*simbox.Options)) *bed {
	t.Helper()
	opt := simbox.Options{Dir: t.TempDir(), Clock: control.Auto, Features: map[string]bool{}}
	for _, f := range change {
		f(&opt)
	}
	sim, err := simbox.Start(t.Context(), opt)
	require.NoError(t, err)
	b := &bed{t: t, sim: sim}
	b.config = infinibox.Config{
		Mode: infinibox.ModeAsync, Kind: infinibox.KindVolume, Entity: "vol1", Link: "link1",
		Sites: [2]infinibox.Site{{Name: site1, Pool: "p1"}, {Name: site2, Pool: "p2"}},
	}
	t.Cleanup(func() {
		for _, d := range b.opened {
			_ = d.Close() // the boxes may be down
		}
		require.NoError(t, sim.Close())
	})
	return b
}

func without(feature string) func(*simbox.Options) {
	return func(o *simbox.Options) { o.Features[feature] = false }
}

// access is how a box is reached; addresses in front are tried first.
func (b *bed) access(i int, front ...string) infinibox.Access {
	a := b.sim.Ready().Arrays[i]
	return infinibox.Access{Name: a.Name, Addresses: append(front, "http://"+a.HTTP), Username: "admin", Password: "123456", Deadline: 5 * time.Second}
}

func (b *bed) client(a infinibox.Access) *infinibox.Client {
	b.t.Helper()
	c, err := infinibox.NewClient(a)
	require.NoError(b.t, err)
	return c
}

// driver makes a new one, as a new process would.
func (b *bed) driver() *infinibox.Driver {
	b.t.Helper()
	cfg := b.config
	for i := range cfg.Sites {
		if cfg.Sites[i].Client == nil {
			cfg.Sites[i].Client = b.client(b.access(i))
		}
	}
	d, err := infinibox.New(cfg)
	require.NoError(b.t, err)
	b.opened = append(b.opened, d)
	return d
}

func (b *bed) sleep(ctx context.Context, d time.Duration) error {
	if err := b.sim.Advance(d); err != nil {
		return err
	}
	return ctx.Err()
}

// run pursues a goal to its end.
func (b *bed) run(g array.Goal) (summary, error) {
	b.t.Helper()
	s, err := array.Run(b.t.Context(), b.driver(), g, array.Options{Resource: "NAME", Timeout: time.Minute, Sleep: b.sleep})
	return summary{s.Result, s.ExitCode, s.Steps, s.Reason, s.Next, s.Info, s.Warnings}, err
}

type summary struct {
	result   string
	exit     int
	steps    int
	reason   string
	next     string
	info     map[string]string
	warnings []string
}

// must pursues a goal that has to be reached.
func (b *bed) must(g array.Goal) summary {
	b.t.Helper()
	s, err := b.run(g)
	require.NoError(b.t, err, "%+v", g)
	return s
}

func (b *bed) observe() array.Observation {
	b.t.Helper()
	o, err := b.driver().Observe(b.t.Context())
	require.NoError(b.t, err)
	return o
}

// rest sends a request of a foreign hand; the reply's result is returned.
func (b *bed) rest(box int, method, path, body string) map[string]any {
	b.t.Helper()
	result, err := b.tryREST(b.t.Context(), box, method, path, body)
	require.NoError(b.t, err)
	object, _ := result.(map[string]any)
	return object
}

func (b *bed) tryREST(ctx context.Context, box int, method, path, body string) (any, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+b.sim.Ready().Arrays[box].HTTP+"/api/rest/"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth("admin", "123456")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Result any            `json:"result"`
		Error  map[string]any `json:"error"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, err
	}
	if answer.Error != nil {
		return nil, fmt.Errorf("%s %s: %v", method, path, answer.Error)
	}
	return answer.Result, nil
}

// first is the id of the first object that a query finds.
func (b *bed) first(box int, path string) int64 {
	b.t.Helper()
	result, err := b.tryREST(b.t.Context(), box, "GET", path, "")
	require.NoError(b.t, err)
	found, _ := result.([]any)
	require.NotEmpty(b.t, found, path)
	return int64(found[0].(map[string]any)["id"].(float64))
}

const megabyte = 1 << 20

func (b *bed) volume(box int, name string, size int64) int64 {
	b.t.Helper()
	return b.entity(box, "volumes", name, size)
}

func (b *bed) entity(box int, collection, name string, size int64) int64 {
	b.t.Helper()
	pool := b.first(box, fmt.Sprintf("pools?name=p%d", box+1))
	body := fmt.Sprintf(`{"name":%q,"pool_id":%d,"size":%d,"provtype":"THIN"}`, name, pool, size)
	if collection == "cgs" {
		body = fmt.Sprintf(`{"name":%q,"pool_id":%d}`, name, pool)
	}
	return int64(b.rest(box, "POST", collection+"?approved=true", body)["id"].(float64))
}

// replicated makes vol1 and its copy, and waits for the first copy.
func (b *bed) replicated() {
	b.t.Helper()
	b.volume(0, "vol1", megabyte)
	b.must(array.Goal{Verb: array.Create})
	b.idle()
}

// idle lets the first copy end.
func (b *bed) idle() {
	b.t.Helper()
	require.NoError(b.t, b.sim.Advance(5*time.Second))
}

func (b *bed) fault(box int, kind string, value any, count int) {
	b.t.Helper()
	name := ""
	if box >= 0 {
		name = b.sim.Ready().Arrays[box].Name
	}
	f, err := control.NewFault(name, kind, value)
	require.NoError(b.t, err)
	f.Count = count
	_, err = b.sim.AddFault(f)
	require.NoError(b.t, err)
}

func (b *bed) write(box int, volume, text string) error {
	_, err := b.sim.IO(b.t.Context(), control.IORequest{Array: b.sim.Ready().Arrays[box].Name, Volume: volume, Op: "write", Data: []byte(text)})
	return err
}

func (b *bed) read(box int, volume string) string {
	b.t.Helper()
	data, err := b.sim.IO(b.t.Context(), control.IORequest{Array: b.sim.Ready().Arrays[box].Name, Volume: volume, Op: "read", Length: 32})
	require.NoError(b.t, err)
	return strings.TrimRight(string(data), "\x00")
}

// world is the simulator's own view.
type world struct {
	Violations []string `json:"violations"`
	TwoSources []struct {
		LinkUp bool `json:"link_up"`
	} `json:"two_sources"`
	Arrays []struct {
		Volumes  []map[string]any `json:"volumes"`
		Groups   []map[string]any `json:"cgs"`
		Replicas []map[string]any `json:"replicas"`
	} `json:"arrays"`
}

func (b *bed) world() world {
	b.t.Helper()
	raw, err := json.Marshal(b.sim.State())
	require.NoError(b.t, err)
	var w world
	require.NoError(b.t, json.Unmarshal(raw, &w))
	return w
}

// requests are what the driver sent since a number of the journal, without reads.
func (b *bed) requests(since uint64) []string {
	b.t.Helper()
	var out []string
	for _, e := range b.sim.Journal().Since(since) {
		if e.Method != "GET" && !strings.Contains(e.Path, "users/") {
			out = append(out, strings.TrimSpace(e.Array+" "+e.Method+" "+e.Path+" "+e.Body))
		}
	}
	return out
}

// boxOf is the index of a site's box.
func boxOf(site string) int { return map[string]int{site1: 0, site2: 1}[site] }

// lab is a bed under the conformance suite.
type lab struct{ *bed }

func (l lab) Open(context.Context, string) (array.Driver, error) {
	for _, d := range l.opened {
		_ = d.Close()
	}
	l.opened = nil
	return l.driver(), nil
}

func (l lab) SiteDown(_ context.Context, site string) error {
	l.fault(boxOf(site), "array_down", nil, 0)
	return nil
}

func (l lab) SiteUp(_ context.Context, site string) error {
	l.sim.Settle()
	l.sim.Faults().Clear(0, l.sim.Ready().Arrays[boxOf(site)].Name, "array_down")
	return nil
}

func (l lab) LinkDown(context.Context) error {
	l.fault(-1, "link_down", nil, 0)
	return nil
}

func (l lab) LinkUp(context.Context) error {
	l.sim.Settle()
	l.sim.Faults().Clear(0, "", "link_down")
	return nil
}

func (l lab) Read(_ context.Context, site string) (string, error) {
	data, err := l.sim.IO(l.t.Context(), control.IORequest{Array: l.sim.Ready().Arrays[boxOf(site)].Name, Volume: "vol1", Op: "read", Length: 32})
	return strings.TrimRight(string(data), "\x00"), err
}

func (l lab) Write(_ context.Context, site string) error {
	l.writes++
	err := l.write(boxOf(site), "vol1", fmt.Sprintf("write %06d at %s", l.writes, site))
	if errors.Is(err, control.ErrForbidden) {
		return arraytest.ErrReadOnly
	}
	return err
}

// Foreign is an operator at the box's own console.
func (l lab) Foreign(ctx context.Context, verb string) error {
	action := map[string]string{"break": "suspend", "resume": "resume"}[verb]
	for box, a := range l.world().Arrays {
		for _, r := range a.Replicas {
			if r["role"] == "SOURCE" { // it may be refused, as any command may
				_, _ = l.tryREST(ctx, box, "POST", fmt.Sprintf("replicas/%d/%s?approved=true", int64(r["id"].(float64)), action), "")
			}
		}
	}
	return nil
}

func (l lab) Sleep(ctx context.Context, d time.Duration) error { return l.sleep(ctx, d) }
