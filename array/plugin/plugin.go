package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/internal/run"
)

// Protocol is the version of the protocol.
const Protocol = 1

// MaxAnswer bounds what a program may write to standard output, in bytes.
const MaxAnswer = 16 << 20

// Times that a call may take where the verb has no earlier deadline.
const (
	askTime     = 30 * time.Second // capabilities, plan
	observeTime = 2 * time.Minute
	doTime      = 6 * time.Hour
)

// Resource is what a program is told about the resource.
type Resource struct {
	Name       string                    `json:"name"`
	Mode       string                    `json:"mode,omitempty"`
	Sites      []string                  `json:"sites"` // home first
	SiteConfig map[string]map[string]any `json:"site_config,omitempty"`
	Config     map[string]any            `json:"config"`
}

// Options of Open.
type Options struct {
	Name      string // of the driver, or the absolute path of its program
	Dirs      []string
	AllowPath bool
	Resource  Resource
	MaxAge    time.Duration
	Log       *slog.Logger
	Runner    run.Runner // nil: run.OS
}

// Driver is a plug-in as an array.Driver.
type Driver struct {
	options Options
	path    string
	caps    array.Capabilities
}

// Open finds the program and asks for its capabilities.
func Open(ctx context.Context, o Options) (*Driver, error) {
	path, err := Find(o.Name, o.Dirs, o.AllowPath)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Runner == nil {
		o.Runner = run.OS{Log: o.Log}
	}
	d := &Driver{options: o, path: path}
	if err := d.call(ctx, askTime, request{Op: "capabilities"}, &d.caps); err != nil {
		return nil, fmt.Errorf("driver %s: capabilities: %w", o.Name, err)
	}
	d.caps.Driver = strings.TrimPrefix(filepath.Base(o.Name), prefix)
	d.caps.Sites, d.caps.MaxAge = o.Resource.Sites, o.MaxAge
	if d.caps.Mode == "" {
		d.caps.Mode = o.Resource.Mode
	}
	return d, nil
}

// Capabilities implements array.Driver.
func (d *Driver) Capabilities() array.Capabilities { return d.caps }

// Observe implements array.Driver.
func (d *Driver) Observe(ctx context.Context) (array.Observation, error) {
	var o array.Observation
	if err := d.call(ctx, observeTime, request{Op: "observe"}, &o); err != nil {
		return array.Observation{}, err
	}
	return d.complete(o), nil
}

// complete brings an observation into the form that array promises: both sides, in
// order, with known values only.
func (d *Driver) complete(o array.Observation) array.Observation {
	if o.At.IsZero() {
		o.At = time.Now().UTC()
	}
	sides := make([]array.Side, 0, len(d.caps.Sites))
	for _, site := range d.caps.Sites {
		s := o.Side(site)
		if s.Reachable && s.ObservedAt.IsZero() {
			s.ObservedAt = o.At
		}
		sides = append(sides, s)
	}
	o.Sides = sides
	o.Normalize()
	return o
}

// Plan implements array.Driver.
func (d *Driver) Plan(o array.Observation, g array.Goal) (array.Plan, error) {
	var p array.Plan
	err := d.call(context.Background(), askTime, request{Op: "plan", Goal: &g, Observation: &o}, &p)
	return p, err
}

// Do implements array.Driver.
func (d *Driver) Do(ctx context.Context, s array.Step) error {
	return d.call(ctx, doTime, request{Op: "do", Step: &s}, nil)
}

// request is what a program reads.
type request struct {
	Protocol    int                `json:"protocol"`
	Op          string             `json:"op"`
	Deadline    time.Time          `json:"deadline"`
	Resource    Resource           `json:"resource"`
	Goal        *array.Goal        `json:"goal,omitempty"`
	Observation *array.Observation `json:"observation,omitempty"`
	Step        *array.Step        `json:"step,omitempty"`
}

// answer is what a program writes.
type answer struct {
	Protocol int             `json:"protocol"`
	Result   json.RawMessage `json:"result"`
	Error    *answerError    `json:"error"`
}

type answerError struct {
	Kind   array.Kind `json:"kind"`
	Rule   string     `json:"rule"`
	Reason string     `json:"reason"`
	Next   string     `json:"next"`
	RC     int        `json:"rc"`
}

// call runs the program once.
func (d *Driver) call(ctx context.Context, limit time.Duration, r request, result any) error {
	inner, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r.Protocol, r.Resource = Protocol, d.options.Resource
	if r.Resource.Config == nil {
		r.Resource.Config = map[string]any{}
	}
	r.Deadline, _ = inner.Deadline()
	r.Deadline = r.Deadline.UTC()
	in, err := json.Marshal(r)
	if err != nil {
		return d.broken(r.Op, "the request cannot be written as JSON", err)
	}
	out := &bounded{max: MaxAnswer}
	res, err := d.options.Runner.Run(inner, run.Cmd{Name: d.path, Stdin: bytes.NewReader(in), Stdout: out, Pdeathsig: true, Env: hideSecrets(os.Environ())})
	d.log(r.Op, res.Stderr)
	switch {
	case out.over:
		return d.broken(r.Op, fmt.Sprintf("more than %d bytes of answer", MaxAnswer), nil)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(inner.Err(), context.DeadlineExceeded):
		return &array.Error{Kind: array.KindUnreachable, Reason: fmt.Sprintf("driver %s: no answer to %s within %s, killed", d.options.Name, r.Op, limit)}
	case err != nil:
		return d.broken(r.Op, "the program failed", err)
	}
	return d.read(r.Op, out.kept.Bytes(), result)
}

// read decodes exactly one answer.
func (d *Driver) read(op string, text []byte, result any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	var a answer
	if err := dec.Decode(&a); err != nil {
		return d.broken(op, "no JSON object on standard output", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return d.broken(op, "more than one JSON object on standard output", nil)
	}
	if a.Protocol != Protocol {
		return d.broken(op, fmt.Sprintf("it speaks protocol %d, ddsgo %d", a.Protocol, Protocol), nil)
	}
	if a.Error != nil {
		return d.failed(a.Error)
	}
	if result == nil {
		return nil
	}
	if len(a.Result) == 0 || string(a.Result) == "null" {
		return d.broken(op, "neither result nor error", nil)
	}
	if err := json.Unmarshal(a.Result, result); err != nil {
		return d.broken(op, "the result has the wrong form", err)
	}
	return nil
}

// failed turns a program's error into ours.
func (d *Driver) failed(e *answerError) error {
	if e.Reason == "" {
		e.Reason = "driver " + d.options.Name + " gives no reason"
	}
	switch e.Kind {
	case array.KindRefused, array.KindUnsupported:
		return &array.Refusal{Kind: e.Kind, Rule: e.Rule, Reason: e.Reason, Next: e.Next}
	case array.KindUnreachable, array.KindArray, array.KindConfig:
	default:
		e.Kind = array.KindInternal
	}
	return &array.Error{Kind: e.Kind, Reason: e.Reason, Next: e.Next, RC: e.RC}
}

func (d *Driver) broken(op, reason string, err error) error {
	return &array.Error{Kind: array.KindInternal, Reason: fmt.Sprintf("driver %s: %s: %s", d.options.Name, op, reason), Err: err}
}

func (d *Driver) log(op string, stderr []byte) {
	for line := range strings.Lines(string(stderr)) {
		if line = strings.TrimSpace(line); line != "" {
			d.options.Log.Info(line, "driver", d.options.Name, "op", op)
		}
	}
}

// hideSecrets empties the variables that hold passwords of built-in drivers.
func hideSecrets(environ []string) []string {
	var hidden []string
	for _, kv := range environ {
		if name, _, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(name, "DDSGO_PASSWORD_") {
			hidden = append(hidden, name+"=")
		}
	}
	return slices.Clip(hidden)
}

// bounded is a buffer that refuses more than max bytes.
type bounded struct {
	kept bytes.Buffer // not embedded: its ReadFrom would go round the bound
	max  int
	over bool
}

var errTooMuch = errors.New("too much output")

// Write implements io.Writer. Its error ends the copying, and the program with it.
func (b *bounded) Write(p []byte) (int, error) {
	if b.kept.Len()+len(p) > b.max {
		b.over = true
		return 0, errTooMuch
	}
	return b.kept.Write(p)
}
