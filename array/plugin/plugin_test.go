package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
)

// script installs a shell script as driver "t". It answers capabilities; for every other
// op it runs body.
func script(t testing.TB, body string) Options {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	text := `#!/bin/sh
read -r request
case $request in
*'"op":"capabilities"'*) echo '{"protocol":1,"result":{"mode":"async","verbs":["update","frobnicate"],"new_key":1}}' ; exit 0 ;;
esac
` + body + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ddsgo-driver-t"), []byte(text), 0o755))
	return Options{Name: "t", Dirs: []string{filepath.Join(dir, "none"), dir}, Resource: Resource{Name: "r", Sites: []string{"site1", "site2"}}}
}

func open(t testing.TB, body string) *Driver {
	t.Helper()
	d, err := Open(t.Context(), script(t, body))
	require.NoError(t, err)
	return d
}

func TestCapabilitiesAndObservation(t *testing.T) {
	d := open(t, `echo '{"protocol":1,"result":{"link":"sideways","replication":"running","surprise":[1],"sides":[{"site":"site2","reachable":true,"role":"emperor","writable":"perhaps"},{"site":"mars"}],"members":[{"name":"m","sync":"fresh"}]}}'`)
	c := d.Capabilities()
	require.Equal(t, "t", c.Driver)
	require.Equal(t, []string{"site1", "site2"}, c.Sites)
	ok, _ := c.Supports(array.Update)
	require.True(t, ok)
	ok, why := c.Supports(array.Swap)
	require.False(t, ok)
	require.NotEmpty(t, why)

	o, err := d.Observe(t.Context())
	require.NoError(t, err)
	require.Len(t, o.Sides, 2, "the configured sites, no more and no less")
	require.Equal(t, "site1", o.Sides[0].Site)
	require.False(t, o.Sides[0].Reachable)
	require.Equal(t, array.RoleUnknown, o.Sides[1].Role)
	require.Equal(t, array.Unknown, o.Sides[1].Writable)
	require.Equal(t, array.LinkUnknown, o.Link)
	require.Equal(t, array.SyncUnknown, o.Members[0].Sync)
	require.False(t, o.At.IsZero())
}

func TestAnswersThatAreNone(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"nothing":           {"true", "no JSON object"},
		"text":              {"echo hello", "no JSON object"},
		"half":              {`echo '{"protocol":1,'`, "no JSON object"},
		"two":               {`echo '{"protocol":1,"result":{}} {"protocol":1,"result":{}}'`, "more than one JSON object"},
		"rest":              {`echo '{"protocol":1,"result":{}} and so on'`, "more than one JSON object"},
		"protocol":          {`echo '{"protocol":2,"result":{}}'`, "it speaks protocol 2"},
		"neither":           {`echo '{"protocol":1}'`, "neither result nor error"},
		"form":              {`echo '{"protocol":1,"result":[1]}'`, "wrong form"},
		"exit":              {`echo '{"protocol":1,"result":{}}'; exit 3`, "the program failed"},
		"exit says why":     {`echo "no such file" >&2; exit 3`, "no such file"},
		"more than allowed": {`head -c 17000000 /dev/zero`, "more than 16777216 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(t, c.body).Observe(t.Context())
			require.ErrorContains(t, err, c.want)
			require.Equal(t, array.KindInternal, array.KindOf(err))
		})
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	for kind, want := range map[string]array.Kind{
		"refused": array.KindRefused, "unsupported": array.KindUnsupported, "unreachable": array.KindUnreachable, "array": array.KindArray,
		"config": array.KindConfig, "internal": array.KindInternal, "melancholy": array.KindInternal,
	} {
		d := open(t, fmt.Sprintf(`echo '{"protocol":1,"error":{"kind":"%s","reason":"because","next":"ddsgo status"}}'`, kind))
		_, err := d.Plan(array.Observation{}, array.Goal{Verb: array.Update})
		require.Equal(t, want, array.KindOf(err), kind)
		require.ErrorContains(t, err, "because")
	}
}

// What a program reads: one line, with everything that contracts promise.
func TestRequest(t *testing.T) {
	out := filepath.Join(t.TempDir(), "request")
	t.Setenv("DDSGO_PASSWORD_X", "s3cret")
	o := script(t, fmt.Sprintf(`printf '%%s' "$request" > %s; env > %s.env; echo '{"protocol":1,"result":{}}'`, out, out))
	o.Resource.Config = map[string]any{"a": "/x", "n": 7}
	d, err := Open(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, d.Do(t.Context(), array.Step{ID: "s1", Site: "site1", Args: map[string]string{"k": "v"}}))
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	var r map[string]any
	require.NoError(t, json.Unmarshal(text, &r))
	require.EqualValues(t, 1, r["protocol"])
	require.Equal(t, "do", r["op"])
	deadline, err := time.Parse(time.RFC3339Nano, r["deadline"].(string))
	require.NoError(t, err)
	require.True(t, deadline.After(time.Now()))
	require.Equal(t, map[string]any{"name": "r", "sites": []any{"site1", "site2"}, "config": map[string]any{"a": "/x", "n": 7.0}}, r["resource"])
	require.Equal(t, "s1", r["step"].(map[string]any)["id"])
	require.NotContains(t, r, "goal")
	env, err := os.ReadFile(out + ".env")
	require.NoError(t, err)
	require.NotContains(t, string(env), "s3cret")
}

// At the deadline the program and what it started are killed.
func TestDeadlineKillsTheGroup(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	d := open(t, fmt.Sprintf(`sleep 600 & echo "$$ $!" > %s.new; mv %s.new %s; wait`, pids, pids, pids))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Do(ctx, array.Step{ID: "s"}) }()
	require.Eventually(t, func() bool { _, err := os.Stat(pids); return err == nil }, 30*time.Second, 10*time.Millisecond)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	text, err := os.ReadFile(pids)
	require.NoError(t, err)
	for _, f := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(f)
		require.NoError(t, err)
		require.Eventually(t, func() bool { return gone(pid) }, 30*time.Second, 10*time.Millisecond, "process %d lives on", pid)
	}
}

// gone says that a process has ended; a zombie that nobody has waited for counts.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "Z")
}

// The call's own limit, with no deadline from outside, is a storage without a reply.
func TestOwnLimitIsUnreachable(t *testing.T) {
	d := open(t, "sleep 600")
	err := d.call(t.Context(), 200*time.Millisecond, request{Op: "observe"}, nil)
	require.Equal(t, array.KindUnreachable, array.KindOf(err))
	require.ErrorContains(t, err, "killed")
}

func TestStderrIsLog(t *testing.T) {
	var log strings.Builder
	o := script(t, `echo "trying twice" >&2; echo '{"protocol":1,"result":{}}'`)
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	d, err := Open(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, d.Do(t.Context(), array.Step{}))
	require.Contains(t, log.String(), "trying twice")
}

func TestFind(t *testing.T) {
	o := script(t, "true")
	dir := o.Dirs[1]
	path := filepath.Join(dir, "ddsgo-driver-t")
	got, err := Find("t", o.Dirs, false)
	require.NoError(t, err)
	require.Equal(t, path, got)
	got, err = Find(path, nil, false)
	require.NoError(t, err)
	require.Equal(t, path, got)

	_, err = Find("t", []string{t.TempDir()}, false)
	require.ErrorIs(t, err, ErrNotFound)
	_, err = Find("a/t", o.Dirs, false)
	require.ErrorIs(t, err, ErrNotFound)
	t.Setenv("PATH", dir)
	_, err = Find("t", nil, false)
	require.ErrorIs(t, err, ErrNotFound, "PATH only when it is allowed")
	_, err = Find("t", nil, true)
	require.NoError(t, err)

	require.NoError(t, os.Chmod(path, 0o775))
	_, err = Find("t", o.Dirs, false)
	require.ErrorContains(t, err, "writable for group or others")
	require.NoError(t, os.Chmod(path, 0o644))
	_, err = Find("t", o.Dirs, false)
	require.ErrorContains(t, err, "not executable")
	require.NoError(t, os.Chmod(path, 0o755))
	require.NoError(t, os.Chmod(dir, 0o777))
	_, err = Find("t", o.Dirs, false)
	require.ErrorContains(t, err, "writable for group or others")
	require.NoError(t, os.Chmod(dir, 0o755))
	if os.Geteuid() != 0 {
		t.Skip("changing the owner of a file needs root")
	}
	require.NoError(t, os.Chown(path, 12345, 0))
	_, err = Find("t", o.Dirs, false)
	require.ErrorContains(t, err, "belongs to uid 12345")
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{`{"protocol":1,"result":{"sides":[{"site":"site1","reachable":true,"role":"primary"}]}}`, `{"protocol":1,"error":{"kind":"refused"}}`, `{}`, `[]`, ``} {
		f.Add([]byte(s))
	}
	d := &Driver{options: Options{Name: "t"}, caps: array.Capabilities{Driver: "t", Sites: []string{"site1", "site2"}}}
	f.Fuzz(func(t *testing.T, text []byte) {
		var o array.Observation
		if err := d.read("observe", text, &o); err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		o = d.complete(o)
		require.Len(t, o.Sides, 2)
		array.Report("r", d.caps, o, "", time.Now())
		var p array.Plan
		_ = d.read("plan", text, &p)
	})
}
