package array

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// As finds the layer of a decorated driver that implements T: a decorator has a method
// Unwrap() Driver.
func As[T any](d Driver) (T, bool) {
	for d != nil {
		if t, ok := d.(T); ok {
			return t, true
		}
		u, ok := d.(interface{ Unwrap() Driver })
		if !ok {
			break
		}
		d = u.Unwrap()
	}
	var zero T
	return zero, false
}

// Commander is implemented by drivers that can list every native command they may send
// for their resource, for allow-lists.
type Commander interface {
	Commands(method string) ([]string, error)
}

// VolumeCommander is implemented by drivers whose verbs on one volume send commands that
// Commander cannot list: they hold its name.
type VolumeCommander interface {
	VolumeCommands(method string, g Goal) ([]string, error)
}

// Focuser is implemented by drivers whose observations hold more for some verbs. Run and
// Preview tell the goal before the first one.
type Focuser interface {
	Focus(g Goal)
}

// focus tells the driver what it will be asked for.
func focus(d Driver, g Goal) {
	if f, ok := As[Focuser](d); ok {
		f.Focus(g)
	}
}

// Shower is implemented by drivers that have more to tell than an observation: the
// resource in the storage's own words.
type Shower interface {
	Show(ctx context.Context) (any, error)
}

// layer is what decorators have in common.
type layer struct{ Driver }

// Unwrap returns the driver below.
func (l layer) Unwrap() Driver { return l.Driver }

// WithLog logs every call of a driver at debug level.
func WithLog(d Driver, log *slog.Logger) Driver { return logged{layer{d}, log} }

type logged struct {
	layer
	log *slog.Logger
}

func (l logged) Observe(ctx context.Context) (Observation, error) {
	start := time.Now()
	o, err := l.Driver.Observe(ctx)
	l.log.DebugContext(ctx, "observed", "primary", o.Primary(), "link", o.Link, "replication", o.Replication, "duration", time.Since(start), "err", err)
	return o, err
}

func (l logged) Plan(o Observation, g Goal) (Plan, error) {
	p, err := l.Driver.Plan(o, g)
	l.log.Debug("planned", "verb", g.Verb, "site", g.Site, "steps", len(p.Steps), "reached", p.Reached, "err", err)
	return p, err
}

func (l logged) Do(ctx context.Context, s Step) error {
	start := time.Now()
	err := l.Driver.Do(ctx, s)
	l.log.DebugContext(ctx, "did", "step", s.ID, "site", s.Site, "command", s.Command, "duration", time.Since(start), "err", err)
	return err
}

// WithDeadline bounds each call of a driver. A step that is cut off counts as one
// without a reply, an observation as one of a storage that does not answer. Zero: no
// bound.
func WithDeadline(d Driver, observe, do time.Duration) Driver { return bounded{layer{d}, observe, do} }

type bounded struct {
	layer
	observe, do time.Duration
}

func (b bounded) Observe(ctx context.Context) (Observation, error) {
	inner, cancel := bound(ctx, b.observe)
	defer cancel()
	o, err := b.Driver.Observe(inner)
	return o, cutOff(ctx, inner, b.observe, err)
}

func (b bounded) Do(ctx context.Context, s Step) error {
	inner, cancel := bound(ctx, b.do)
	defer cancel()
	return cutOff(ctx, inner, b.do, b.Driver.Do(inner, s))
}

func bound(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}

func cutOff(outer, inner context.Context, d time.Duration, err error) error {
	if err == nil || outer.Err() != nil || inner.Err() == nil {
		return err
	}
	return &Error{Kind: KindUnreachable, Reason: fmt.Sprintf("no reply within %s", d), Err: err}
}

// WithRetry repeats an observation that failed without a reply. Steps are never
// repeated here: that takes an observation between (R7), which is Run's part.
func WithRetry(d Driver, tries int, pause time.Duration) Driver {
	return retried{layer{d}, max(tries, 1), pause}
}

type retried struct {
	layer
	tries int
	pause time.Duration
}

func (r retried) Observe(ctx context.Context) (Observation, error) {
	for n := 1; ; n++ {
		o, err := r.Driver.Observe(ctx)
		var e *Error
		if err == nil || n >= r.tries || !errors.As(err, &e) || e.Kind != KindUnreachable {
			return o, err
		}
		if sleep(ctx, r.pause) != nil {
			return o, err
		}
	}
}
