package hp3par

import (
	"context"
	"fmt"
	"time"
)

// transport is one way to talk to an array.
type transport interface {
	list(ctx context.Context) (listing, error)
	// text is what do would send, for people and allow-lists.
	text(a act) (string, error)
	do(ctx context.Context, a act) error
	close() error
}

// DefaultMaxCLI is how many sessions ddsgo opens on one array at once.
const DefaultMaxCLI = 2

// listingAge is how old a listing may be for the first observation of a resource: many
// resources then share one command. Whatever comes later is asked anew.
const listingAge = 5 * time.Second

// Array is one array, shared by all resources on it. It is safe for concurrent use.
type Array struct {
	Name string
	t    transport

	groups  shared[listing]
	volumes shared[volumeListing]
}

// Options of an array reached by ssh, the vendor's program or a proxy.
type Options struct {
	Name      string            // as its peer calls it
	Timezones map[string]string // name of a zone -> +01:00
	MaxCLI    int               // 0: DefaultMaxCLI
	Sleep     func(context.Context, time.Duration) error
}

func (o Options) commandLine(c carrier) (*Array, error) {
	z, err := newZones(o.Timezones)
	if err != nil {
		return nil, err
	}
	if o.MaxCLI <= 0 {
		o.MaxCLI = DefaultMaxCLI
	}
	if o.Sleep == nil {
		o.Sleep = pause
	}
	return &Array{Name: o.Name, t: &commandLine{carrier: c, zones: z, slots: make(chan struct{}, o.MaxCLI), sleep: o.Sleep}}, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// NewSSH returns an array reached by ssh. It does not connect yet.
func NewSSH(o Options, s SSH) (*Array, error) {
	if s.User == "" || s.Address == "" {
		return nil, fmt.Errorf("%w: array %s: method ssh needs username and manager", ErrConfig, o.Name)
	}
	if s.KeyFile == "" && s.Password == "" {
		return nil, fmt.Errorf("%w: array %s: method ssh needs key or a password", ErrConfig, o.Name)
	}
	return o.commandLine(execCarrier{&shell{o: s}})
}

// Close ends connections and sessions.
func (a *Array) Close() error { return a.t.close() }

// list asks for all groups and links.
func (a *Array) list(ctx context.Context, mayShare bool) (listing, error) {
	return a.groups.get(ctx, mayShare, a.t.list)
}

// do does one act; what was listed before is old then.
func (a *Array) do(ctx context.Context, what act) error {
	a.forget()
	defer a.forget()
	return a.t.do(ctx, what)
}

func (a *Array) forget() {
	a.groups.forget()
	a.volumes.forget()
}
