package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/replica"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream/session"
	"github.com/ddsgo/ddsgo/transport"
)

// Serve answers one session, as `ddsgo serve` does for logical volumes.
func (c *Copy) Serve(ctx context.Context, rw io.ReadWriteCloser, opt session.Options) error {
	opt.Host, opt.Log = c.Host, c.Log
	return session.Serve(ctx, rw, c, opt)
}

// Dial connects a source of this process with the image.
func (c *Copy) Dial(ctx context.Context, _ transport.Target) (replica.Connection, error) {
	near, far := transport.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := c.Serve(ctx, far, session.Options{}); err != nil && ctx.Err() == nil {
			c.Log.Debug("the session with the image ended", "image", c.String(), "err", err)
		}
		_ = far.Close()
	}()
	return &inProcess{near, done}, nil
}

// inProcess is a connection whose other end is a goroutine; closing it waits for that.
type inProcess struct {
	io.ReadWriteCloser
	done chan struct{}
}

// Explain implements replica.Connection: there is no ssh that has more to say.
func (*inProcess) Explain(err error) error { return err }

// Close implements replica.Connection.
func (p *inProcess) Close() error {
	err := p.ReadWriteCloser.Close()
	<-p.done
	return err
}

// Handle implements session.Handler.
func (c *Copy) Handle(ctx context.Context, req *session.Request) error {
	if req.Op == replica.OpReceive {
		return c.receive(ctx, req)
	}
	var ref replica.VolumeRef
	if err := req.Decode(&ref); err != nil {
		return err
	}
	switch req.Op {
	case replica.OpInspect:
		r, err := c.Inspect(ctx)
		if err != nil {
			return err
		}
		return req.Reply(r)
	case replica.OpProbe:
		return c.probe(ctx, req, ref)
	case replica.OpHold, replica.OpRelease:
		return c.change(ctx, req, ref)
	case replica.OpPromote:
		r, err := c.Promote(ctx, ref)
		if err != nil {
			return err
		}
		return req.Reply(r)
	}
	return failure.With(failure.CodeUnsupported, c.String(), fmt.Sprintf("an RBD image as target does not know %.40q", req.Op), "ddsgo full "+ref.Resource+" --overwrite", nil)
}

// Inspect says what the image holds, without a lock, and changes nothing.
func (c *Copy) Inspect(ctx context.Context) (replica.ProbeReply, error) {
	t := &target{c: c}
	err := t.load(ctx)
	if errors.Is(err, ErrMetadata) {
		return t.damaged(err), nil
	}
	if err == nil {
		err = t.foreignWrites(ctx)
	}
	if err != nil {
		return replica.ProbeReply{}, Explain(c.End, err)
	}
	return t.describe(), nil
}

func (t *target) damaged(err error) replica.ProbeReply {
	return replica.ProbeReply{Host: t.c.Host, Damaged: true, Detail: err.Error(), Size: t.info.Size, Grows: true}
}

func (t *target) describe() replica.ProbeReply {
	r := replica.ProbeReply{Host: t.c.Host, Size: t.info.Size, Grows: true}
	if t.doc == nil {
		return r
	}
	c := t.doc.Condition
	r.Condition, r.Generation, r.To, r.Detail = string(c.Kind), c.At, c.To, c.Reason
	r.Role, r.Fence, r.Source, r.Applied = string(t.doc.Role), t.doc.Fence, t.doc.Source, t.doc.Applied
	if k := t.doc.Rollback; k != nil {
		r.Condition, r.To, r.Detail = string(state.KindInconsistent), k.Generation, "a roll-back to "+k.Snapshot+" is under way, or was cut"
	}
	if t.doc.Role == state.RolePrimary && len(t.doc.History) > 0 {
		r.Generation = t.doc.History[len(t.doc.History)-1].Generation
	}
	return r
}

// probe serves OpProbe: finish what can be, then tell.
func (c *Copy) probe(ctx context.Context, req *session.Request, ref replica.VolumeRef) error {
	t, err := c.open(ctx, ref)
	if t != nil {
		defer func() { _ = t.release() }()
	}
	if errors.Is(err, ErrMetadata) {
		return req.Reply(t.damaged(err))
	}
	if err != nil {
		return err
	}
	detail := ""
	if err := t.rollForward(ctx, replica.Relay(req)); err != nil {
		t.c.Log.Error("cannot finish an import", "image", c.String(), "err", err)
		detail = err.Error()
	}
	if err := t.foreignWrites(ctx); err != nil {
		return err
	}
	r := t.describe()
	if detail != "" {
		r.Detail = detail
	}
	if r.InUse, err = t.users(ctx); err != nil {
		return err
	}
	return req.Reply(r)
}

// users are those who have the image open, in words.
func (t *target) users(ctx context.Context) (string, error) {
	if !t.exists || t.condition().Kind == state.KindApplying { // a dead import's watch is waited for
		return "", nil
	}
	users, err := t.c.CLI.Users(ctx, t.c.Image)
	return strings.Join(users, ", "), Explain(t.c.End, err)
}

// opened runs do on the locked target, after a roll-forward.
func (c *Copy) opened(ctx context.Context, ref replica.VolumeRef, do func(*target) error) error {
	t, err := c.open(ctx, ref)
	if t != nil {
		defer func() { _ = t.release() }()
	}
	if err == nil {
		err = t.rollForward(ctx, nil)
	}
	if err == nil {
		err = t.foreignWrites(ctx)
	}
	if err != nil {
		return Explain(c.End, err)
	}
	return do(t)
}

// change serves OpHold and OpRelease.
func (c *Copy) change(ctx context.Context, req *session.Request, ref replica.VolumeRef) error {
	return c.opened(ctx, ref, func(t *target) error {
		if err := t.setHeld(ctx, req.Op == replica.OpHold); err != nil {
			return err
		}
		return req.Reply(t.describe())
	})
}

// setHeld keeps deltas away, or lets them in again: an image that was rolled back to an older
// generation first becomes the newest one again, whose snapshot is still there.
func (t *target) setHeld(ctx context.Context, held bool) error {
	switch c := t.condition(); {
	case held && c.Kind == state.KindHeld, !held && c.Kind != state.KindHeld:
		return nil
	case held && c.Kind != state.KindClean:
		return t.refuse(failure.CodeRefused, "ddsgo status "+t.ref.Resource, "only a clean copy can be held, it is %v", c)
	case held:
		return t.become(ctx, state.Held(c.At, "held by an operator"))
	case len(t.doc.History) > 0 && !t.doc.History[len(t.doc.History)-1].Generation.Same(c.At):
		return t.rollback(ctx, t.doc.History[len(t.doc.History)-1])
	default:
		return t.become(ctx, state.Clean(c.At))
	}
}

// Promote makes the copy primary: from now on nothing is imported, and HEAD is for applications.
func (c *Copy) Promote(ctx context.Context, ref replica.VolumeRef) (replica.PromoteReply, error) {
	var r replica.PromoteReply
	err := c.opened(ctx, ref, func(t *target) error {
		if t.doc != nil && t.doc.Role == state.RolePrimary {
			r.Fence, r.Generation = t.doc.Fence, t.describe().Generation
			return nil
		}
		at := t.condition()
		if at.Kind != state.KindClean && at.Kind != state.KindHeld && at.Kind != state.KindSuspect {
			return t.refuse(failure.CodeRefused, "ddsgo rollback "+ref.Resource+", or bring the source back", "it holds no point in time: %v", at)
		}
		if err := t.jdir.Discard(); err != nil {
			return err
		}
		err := t.commit(ctx, func(d *Record) {
			d.Role, d.Condition = state.RolePrimary, state.None()
			d.Fence++
		})
		r.Fence, r.Generation = t.doc.Fence, at.At
		return err
	})
	return r, err
}
