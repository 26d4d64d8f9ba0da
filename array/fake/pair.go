package fake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Errors of the storage.
var (
	ErrNoReply  = errors.New("no reply")            // the side is away
	ErrRejected = errors.New("rejected by storage") // the state forbids the command
)

// Options of a Pair.
type Options struct {
	Sites    [2]string     // default site1, site2; the first is home
	Sync     bool          // every write goes to both sides while replication runs
	CopyTime time.Duration // of one copy; default 3 s
	Period   time.Duration // between copies; default 5 min
}

// Pair is the storage: one volume on two sides. Its methods may be called concurrently.
type Pair struct {
	mu      sync.Mutex
	options Options
	now     time.Time
	sides   [2]*side
	link    bool
	exists  bool
	running bool
	held    bool // stopped by command, not by a change of roles
	copying *transfer
	queued  bool // another copy after this one
	point   int64
	synced  time.Time // start of the copy that the secondary holds
	members []string
	writes  int
	dual    []string // commands after which both sides accepted writes
}

type side struct {
	name     string
	up       bool
	primary  bool
	last     bool // was the last primary
	writers  bool
	content  []int
	keptCopy []int
}

// transfer is a copy on its way.
type transfer struct {
	from    *side
	content []int
	started time.Time
	ends    time.Time
}

// New returns a pair that replicates from the first site to the second.
func New(o Options) *Pair {
	if o.Sites[0] == "" {
		o.Sites = [2]string{"site1", "site2"}
	}
	if o.CopyTime == 0 {
		o.CopyTime = 3 * time.Second
	}
	if o.Period == 0 {
		o.Period = 5 * time.Minute
	}
	p := &Pair{options: o, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), link: true, exists: true, running: true, members: []string{"vol1"}}
	for i, name := range o.Sites {
		p.sides[i] = &side{name: name, up: true}
	}
	p.sides[0].primary, p.sides[0].last = true, true
	p.synced = p.now
	return p
}

// Now is the virtual time.
func (p *Pair) Now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// Sleep lets virtual time pass; it returns at once.
func (p *Pair) Sleep(ctx context.Context, d time.Duration) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.advance(d)
	return nil
}

// advance moves time and lets copies end and begin.
func (p *Pair) advance(d time.Duration) {
	p.now = p.now.Add(d)
	for p.copying != nil && !p.now.Before(p.copying.ends) {
		p.complete()
	}
	src, dst := p.direction()
	if p.running && p.copying == nil && src != nil && p.connected() && !slices.Equal(src.content, dst.content) && (p.options.Sync || p.now.Sub(p.synced) >= p.options.Period) {
		p.begin(src)
	}
	if !p.running && p.copying == nil && p.draining() {
		p.begin(p.lastPrimary())
	}
}

// begin starts a copy of a side's present content.
func (p *Pair) begin(from *side) {
	p.copying = &transfer{from: from, content: slices.Clone(from.content), started: p.now, ends: p.now.Add(p.options.CopyTime)}
}

// complete ends the present copy: the secondary gets it as a whole.
func (p *Pair) complete() {
	t := p.copying
	p.copying = nil
	p.peer(t.from).content = t.content
	p.synced = t.started
	p.point++
	if p.queued {
		p.queued = false
		p.begin(t.from)
		p.copying.ends = t.ends.Add(p.options.CopyTime)
	}
}

// abandon drops the present copy, for instance because the link is cut.
func (p *Pair) abandon() { p.copying, p.queued = nil, false }

// draining says that a demoted side has writes that the other one lacks and that both
// are secondary and connected.
func (p *Pair) draining() bool {
	src := p.lastPrimary()
	return src != nil && !p.sides[0].primary && !p.sides[1].primary && p.connected() && !p.held &&
		!slices.Equal(src.content, p.peer(src).content) && prefix(p.peer(src).content, src.content)
}

func (p *Pair) lastPrimary() *side {
	for _, s := range p.sides {
		if s.last {
			return s
		}
	}
	return nil
}

// direction is the one primary and its secondary; nil where that is not clear.
func (p *Pair) direction() (src, dst *side) {
	for _, s := range p.sides {
		if s.primary && !p.peer(s).primary {
			return s, p.peer(s)
		}
	}
	return nil, nil
}

func (p *Pair) connected() bool { return p.link && p.sides[0].up && p.sides[1].up }

func (p *Pair) peer(s *side) *side {
	if s == p.sides[0] {
		return p.sides[1]
	}
	return p.sides[0]
}

func (p *Pair) side(name string) (*side, error) {
	for _, s := range p.sides {
		if s.name == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("%w: no side %q", ErrRejected, name)
}

func prefix(short, long []int) bool {
	return len(short) <= len(long) && slices.Equal(short, long[:len(short)])
}

// parted says that each side has writes that the other lacks, or that the secondary has.
func (p *Pair) parted() bool {
	src, dst := p.direction()
	if src == nil {
		return !prefix(p.sides[0].content, p.sides[1].content) && !prefix(p.sides[1].content, p.sides[0].content)
	}
	return !prefix(dst.content, src.content)
}
