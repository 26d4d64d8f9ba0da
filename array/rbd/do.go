package rbd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/ddsgo/ddsgo/array"
)

// settleTime bounds the repeats of a promotion and of the write that proves it. Measured: up to 9 s
// until a demotion has been replayed; a forced promotion may take some seconds to become writable.
const settleTime = 60 * time.Second

// proveTime is how long writes may be refused after a promotion before something is done about it.
const proveTime = 15 * time.Second

// Do implements array.Driver.
func (d *Driver) Do(ctx context.Context, s array.Step) error {
	var argv []string
	if err := json.Unmarshal([]byte(s.Args[argArgv]), &argv); err != nil || len(argv) == 0 {
		return &array.Error{Kind: array.KindInternal, Site: s.Site, Reason: "step " + s.ID + " carries no command", Err: err}
	}
	i := d.site(s.Site)
	if err := d.guard(ctx, i, s); err != nil {
		return err
	}
	return d.siteError(s, d.send(ctx, i, s, argv))
}

// guard reads again what must still be true when a step is sent that cannot be taken back. librbd
// does not: an unforced promotion succeeds although the other side has just been promoted.
func (d *Driver) guard(ctx context.Context, i int, s array.Step) error {
	peer := d.cfg.Sites[1-i].Name
	switch stepKind(s.ID) {
	case stepPromote, stepForce:
		other, err := d.cli[1-i].Info(ctx, d.cfg.Image)
		switch {
		case err == nil && other.IsPrimary() && s.Args["over_primary"] == "":
			return array.Refuse("R1", "ddsgo status "+d.cfg.Name, "%s has become primary meanwhile", peer)
		case err != nil && stepKind(s.ID) == stepPromote && !errors.Is(err, ErrNoImage):
			return array.Unreachable(peer, err)
		}
	case stepClone:
		return d.guardClone(ctx, i, s)
	case stepResync:
		other, err := d.cli[1-i].Info(ctx, d.cfg.Image)
		if err != nil {
			return array.Unreachable(peer, err)
		}
		if !other.Mirrored() || !other.IsPrimary() {
			return array.Refuse("", "ddsgo status "+d.cfg.Name, "%s is no longer primary: nothing would be copied", peer)
		}
	}
	return nil
}

// guardClone refuses a clone whose parent the peer does not have: mirroring it would never work.
func (d *Driver) guardClone(ctx context.Context, i int, s array.Step) error {
	if s.Args[ParamFlatten] == "yes" {
		return nil
	}
	parent, snap, err := ParseSnapshot(s.Args[ParamCloneOf])
	if err != nil {
		return &array.Error{Kind: array.KindConfig, Site: s.Site, Reason: "--clone-of", Err: err}
	}
	next := "ddsgo array create " + d.cfg.Name + " --clone-of " + s.Args[ParamCloneOf] + " --flatten"
	here, err := d.cli[i].Info(ctx, parent)
	if err != nil {
		return d.siteError(s, err)
	}
	there, err := d.cli[1-i].Info(ctx, parent)
	peer := d.cfg.Sites[1-i].Name
	switch {
	case errors.Is(err, ErrNoImage), errors.Is(err, ErrNoPool):
		return array.Refuse("", next, "the parent %s is not at %s: a clone of it cannot be mirrored there", parent, peer)
	case err != nil:
		return array.Unreachable(peer, err)
	case !here.Mirrored() || !there.Mirrored() || here.Mirroring.GlobalID != there.Mirroring.GlobalID:
		return array.Refuse("", next, "the parent %s is not mirrored to %s: a clone of it cannot be mirrored there", parent, peer)
	}
	snaps, err := d.cli[1-i].Snapshots(ctx, parent)
	if err != nil {
		return array.Unreachable(peer, err)
	}
	if !slices.ContainsFunc(snaps, func(s Snapshot) bool { return s.Name == snap }) {
		return array.Refuse("", "rbd --cluster "+d.cfg.Sites[1-i].Cluster.Name+" snap ls "+parent.String(),
			"snapshot %s has not arrived at %s yet: update the parent first (or --flatten)", parent.At(snap), peer)
	}
	return nil
}

// send runs the command, or repeats it for the kinds whose refusal passes by itself.
func (d *Driver) send(ctx context.Context, i int, s array.Step, argv []string) error {
	c := d.cli[i]
	switch stepKind(s.ID) {
	case stepPromote:
		return d.untilAccepted(ctx, settleTime, func() error { return d.promote(ctx, i, argv) }, ErrBusy, ErrReadOnly)
	case stepForce:
		return d.promote(ctx, i, argv)
	case stepProve:
		// One operation may hang on an OSD that is just coming back: that is no verdict either.
		return d.untilAccepted(ctx, proveTime, func() error { _, err := c.call(ctx, argv...); return err }, ErrReadOnly, ErrBusy, ErrTimeout)
	case stepStop, stepStart:
		_, err := c.mirrorSocket(ctx, argv...)
		if stepKind(s.ID) == stepStart && errors.Is(err, ErrNotReplayed) {
			return nil // nothing is stopped: the daemon is just taking the image up
		}
		return err
	case stepKeep:
		if err := c.sweep(ctx, argv[len(argv)-1]); err != nil {
			return err
		}
		_, err := c.long(ctx, argv...)
		return err
	case stepCreate, stepClone:
		if err := c.sweep(ctx, freshIn(stepKind(s.ID), argv)); err != nil {
			return err
		}
	case stepPeerAdd:
		_, err := c.call(ctx, argv...)
		if errors.Is(err, ErrExists) {
			return nil // the other side's rbd-mirror has just made a row of that name; the next look tells which
		}
		return err
	case stepRemove: // the peer's rbd-mirror lets go of the image some seconds after the end of mirroring
		return d.untilAccepted(ctx, settleTime, func() error { _, err := c.call(ctx, argv...); return err }, ErrBusy)
	case stepKeepDone:
		return d.nameKept(ctx, c, argv)
	case stepFlatten:
		_, err := c.long(ctx, argv...)
		return err
	}
	_, err := c.call(ctx, argv...)
	return err
}

// sweep removes what a step that was cut has left under a name of ddsgo's own.
func (c *CLI) sweep(ctx context.Context, spec string) error {
	_, err := c.call(ctx, "rm", "--no-progress", spec)
	if errors.Is(err, ErrNoImage) {
		return nil
	}
	return err
}

// freshIn is the image that a create or clone makes.
func freshIn(kind string, argv []string) string {
	if kind == stepClone {
		return argv[len(argv)-1]
	}
	return argv[1]
}

// nameKept renames a whole copy. Its name holds the id of an image that is read-only since before the
// copy, so a copy that has the name already is as good.
func (d *Driver) nameKept(ctx context.Context, c *CLI, argv []string) error {
	_, err := c.call(ctx, argv...)
	partial, full := argv[len(argv)-2], argv[len(argv)-1]
	switch {
	case errors.Is(err, ErrExists):
		_, err = c.call(ctx, "rm", "--no-progress", partial)
	case errors.Is(err, ErrNoImage):
		img, parseErr := ParseImage(full)
		if parseErr != nil {
			return parseErr
		}
		_, err = c.Info(ctx, img)
	}
	return err
}

// promote treats "already primary" as done: the reply to an earlier attempt may have been lost.
func (d *Driver) promote(ctx context.Context, i int, argv []string) error {
	_, err := d.cli[i].call(ctx, argv...)
	if !errors.Is(err, ErrInvalid) {
		return err
	}
	if info, infoErr := d.cli[i].Info(ctx, d.cfg.Image); infoErr == nil && info.Mirrored() && info.Mirroring.Primary {
		return nil
	}
	return err
}

// untilAccepted repeats while the answer is one that passes by itself.
func (d *Driver) untilAccepted(ctx context.Context, bound time.Duration, do func() error, passing ...error) error {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 250*time.Millisecond, 2*time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := do()
		for _, p := range passing {
			if errors.Is(err, p) {
				return struct{}{}, err
			}
		}
		if err != nil {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(b), backoff.WithMaxElapsedTime(bound))
	return err
}

// siteError says which side failed and how.
func (d *Driver) siteError(s array.Step, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, ErrUnreachable) || errors.Is(err, ErrTimeout) || errors.Is(err, ErrNoCluster) {
		return array.Unreachable(s.Site, err)
	}
	var call *CallError
	if !errors.As(err, &call) {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%s: %s: %w", s.Site, s.Action, err)
		}
		return &array.Error{Kind: array.KindInternal, Site: s.Site, Reason: s.Action, Err: err}
	}
	e := array.ArrayError(s.Site, int(call.Errno), s.Action+": refused", err)
	if stepKind(s.ID) == stepProve && errors.Is(err, ErrReadOnly) {
		e.Reason = "promoted, but writes are still refused"
		e.Next = "end rbd-mirror at " + s.Site + " (kill -9: it may ignore TERM in this state), then: ddsgo failover " + d.cfg.Name + " --site " + s.Site
	}
	return e
}
