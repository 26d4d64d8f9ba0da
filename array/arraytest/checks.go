package arraytest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
)

// checkEnd checks a verb that ran undisturbed from one picture to another.
func (r *rig) checkEnd(ctx context.Context, g array.Goal, before picture, e ended) error {
	after, err := r.look(ctx)
	if err != nil {
		return err
	}
	if err := r.checkSafe(ctx, g, before, after); err != nil {
		return err
	}
	if err := consistent(e); err != nil {
		return err
	}
	switch e.sum.Result {
	case report.ResultRefused, report.ResultUnsupported, report.ResultNothingToDo:
		if e.sum.Steps != 0 || len(e.steps) != 0 {
			return broken("%s, but %d step(s) were done", e.sum.Result, e.sum.Steps)
		}
		if err := unchanged(before, after); err != nil || e.sum.Result != report.ResultNothingToDo {
			return err
		}
		return r.checkGoal(ctx, g, before, after)
	case report.ResultDone:
		return r.checkGoal(ctx, g, before, after)
	}
	return nil
}

// consistent: result, exit code and error say the same.
func consistent(e ended) error {
	code := e.sum.ExitCode
	switch {
	case !typed(code):
		return broken("ends with exit %d: %s", code, e.sum.Reason)
	case e.ok() != (code == failure.CodeOK):
		return broken("error %v, but exit %d", e.err, code)
	case (code == failure.CodeRefused) != (e.sum.Result == report.ResultRefused), (code == failure.CodeUnsupported) != (e.sum.Result == report.ResultUnsupported):
		return broken("result %s with exit %d", e.sum.Result, code)
	case code != failure.CodeOK && e.sum.Reason == "":
		return broken("exit %d without a reason", code)
	}
	return nil
}

// checkSafe is what must hold after every verb, however it ended.
func (r *rig) checkSafe(ctx context.Context, g array.Goal, before, after picture) error {
	both := func(p picture) bool {
		return p.seen.AllReachable() && p.seen.Sides[0].Writable == array.Yes && p.seen.Sides[1].Writable == array.Yes
	}
	if both(after) && !both(before) && !g.Force && before.seen.AllReachable() {
		return broken("both sides accept writes")
	}
	if !g.Verb.ChangesDirection() && g.Verb != array.Create && g.Verb != array.Delete {
		for _, s := range before.seen.Sides {
			now := after.seen.Side(s.Site)
			if s.Reachable && now.Reachable && (s.Role == array.RolePrimary) != (now.Role == array.RolePrimary) {
				return broken("%s was %s and is %s after %s, which changes no direction", s.Site, s.Role, now.Role, g.Verb)
			}
		}
	}
	return r.checkReadOnly(ctx, after)
}

// checkReadOnly: what the driver calls read-only does not accept a write.
func (r *rig) checkReadOnly(ctx context.Context, p picture) error {
	for _, s := range p.seen.Sides {
		if !s.Reachable || s.Writable != array.No {
			continue
		}
		err := r.lab.Write(ctx, s.Site)
		switch {
		case err == nil:
			return broken("%s accepted a write, but the driver calls it read-only", s.Site)
		case errors.Is(err, ErrReadOnly), errors.Is(err, ErrLeftOut):
		default:
			return fmt.Errorf("write at %s: %w", s.Site, err)
		}
	}
	return nil
}

// unchanged: roles, write access, replication and the primary's content are as before.
func unchanged(before, after picture) error {
	if a, b := before.seen.Replication, after.seen.Replication; a != b && b != array.Running && a != array.Initial {
		return broken("nothing was to be done, but replication was %s and is %s", a, b)
	}
	for _, s := range before.seen.Sides {
		now := after.seen.Side(s.Site)
		if s.Reachable != now.Reachable || s.Role != now.Role || s.Writable != now.Writable {
			return broken("nothing was to be done, but %s was %s (writable %s) and is %s (writable %s)", s.Site, s.Role, s.Writable, now.Role, now.Writable)
		}
		was, is := before.content[s.Site], after.content[s.Site]
		if s.Role == array.RolePrimary && was != is {
			return broken("nothing was to be done, but the content of %s changed from %s to %s", s.Site, short(was), short(is))
		}
	}
	return nil
}

// checkGoal: a verb that is done has reached what it promises.
func (r *rig) checkGoal(ctx context.Context, g array.Goal, before, after picture) error {
	switch g.Verb {
	case array.Create, array.Delete, array.Add, array.Remove:
		return r.checkLifeCycle(g, before, after)
	case array.Update:
		return r.checkCopied(before, after)
	case array.Break:
		if after.seen.Replication == array.Running {
			return broken("break is done, but replication runs")
		}
	case array.Resume:
		if rep := after.seen.Replication; rep != array.Running && rep != array.Initial {
			return broken("resume is done, but replication is %s", rep)
		}
	case array.Swap, array.Failover, array.Start:
		return r.checkPrimary(ctx, g, g.Site, before, after)
	case array.Failback:
		if g.Prepare {
			return r.checkPrepared(g, before, after)
		}
		return r.checkPrimary(ctx, g, r.home, before, after)
	}
	return nil
}

// short is the end of a content, for messages.
func short(content string) string {
	const keep = 40
	if len(content) <= keep {
		return content
	}
	return "..." + content[len(content)-keep:]
}

// checkCopied: the secondary holds what the primary held when the verb was called.
func (r *rig) checkCopied(before, after picture) error {
	p := before.seen.Primary()
	want, ok := before.content[p]
	got, readable := after.content[r.peer(p)]
	if ok && readable && got != want {
		return broken("update is done, but %s holds %s and not %s, which %s held before", r.peer(p), short(got), short(want), p)
	}
	return nil
}

// checkPrimary: the site is primary, takes writes, and holds the content that the verb
// promises to keep.
func (r *rig) checkPrimary(ctx context.Context, g array.Goal, site string, before, after picture) error {
	s := after.seen.Side(site)
	if s.Role != array.RolePrimary {
		return broken("%s is done, but %s is %s", g.Verb, site, s.Role)
	}
	if err := r.checkKept(g, site, before, after); err != nil {
		return err
	}
	err := r.lab.Write(ctx, site)
	switch {
	case errors.Is(err, ErrReadOnly):
		return broken("%s is done, but %s does not accept writes", g.Verb, site)
	case err != nil && !errors.Is(err, ErrLeftOut):
		return fmt.Errorf("write at %s: %w", site, err)
	}
	return nil
}

// checkKept: the new primary holds the content of a side that the verb promises to keep.
func (r *rig) checkKept(g array.Goal, site string, before, after picture) error {
	got, readable := after.content[site]
	from := r.survivors(g, site, before)
	var known []string
	for _, s := range from {
		if want, ok := before.content[s]; ok {
			known = append(known, want)
			if want == got {
				return nil
			}
		}
	}
	// A copy that was on its way may have ended meanwhile.
	arrived := (g.Verb == array.Failover || g.Verb == array.Start) && before.seen.Replication == array.Running && !before.seen.AllSynced()
	if !readable || len(known) < len(from) || len(from) == 0 || arrived {
		return nil
	}
	for i := range known {
		known[i] = short(known[i])
	}
	return broken("%s is done, but %s holds %s and not %s, which %s held before", g.Verb, site, short(got), strings.Join(known, " or "), strings.Join(from, " or "))
}

// survivors are the sides whose content a direction verb promises to keep; where it names two, that
// of either.
func (r *rig) survivors(g array.Goal, site string, before picture) []string {
	switch {
	case g.Verb == array.Failover, g.Verb == array.Start && before.seen.Link != array.LinkUp:
		return []string{site}
	case g.Discard != "" && len(before.seen.Primaries()) != 1:
		return []string{r.peer(g.Discard)}
	case before.seen.Primary() == "":
		return nil
	case g.Verb == array.Start && g.Params[array.ParamSyncFirst] != "true" && !inStep(r.caps, before.seen):
		// A relocation stops and turns round. What was not sent yet stays behind, and the plan says so.
		return []string{site, before.seen.Primary()}
	}
	return []string{before.seen.Primary()}
}

// inStep says that each write is on both sides before it is confirmed.
func inStep(c array.Capabilities, o array.Observation) bool {
	return c.Mode == "sync" && o.Replication == array.Running && o.AllSynced()
}

// checkPrepared: home holds what the present primary held, and is no primary.
func (r *rig) checkPrepared(g array.Goal, before, after picture) error {
	if p := after.seen.Primary(); p == "" || p != r.away && before.seen.Primary() != r.home && g.Discard != r.away {
		return broken("failback --prepare is done, but the primary is %q", p)
	}
	if after.seen.Primary() != r.away {
		return nil
	}
	want, known := before.content[r.away]
	got, readable := after.content[r.home]
	if known && readable && got != want {
		return broken("failback --prepare is done, but %s holds %s and not %s", r.home, short(got), short(want))
	}
	return nil
}
