package fake

import (
	"fmt"
	"slices"
	"time"
)

// commandTime is how long a native command takes, in virtual time.
const commandTime = 500 * time.Millisecond

// Command runs one native command at one side:
//
//	start, stop, sync     replication from the primary
//	demote, promote       roles; promote takes -f when the peer is primary
//	undo [-keep]          a secondary drops the writes that its peer lacks
//	create, delete, add NAME, remove NAME
func (p *Pair) Command(site, command string, arg string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.side(site)
	if err != nil {
		return err
	}
	if !s.up {
		return fmt.Errorf("%s: %w", site, ErrNoReply)
	}
	before := p.accepting()
	p.advance(commandTime)
	if err := p.execute(s, command, arg); err != nil {
		return err
	}
	if p.accepting() > 1 && before < 2 {
		p.dual = append(p.dual, command+" "+arg)
	}
	return nil
}

func (p *Pair) execute(s *side, command, arg string) error {
	switch command {
	case "start":
		return p.start(s)
	case "stop":
		return p.stop(s)
	case "sync":
		return p.sync(s)
	case "demote":
		s.primary, p.running, p.held = false, false, false
		p.abandon()
		return nil
	case "promote":
		return p.promote(s, arg == "-f")
	case "undo":
		return p.undo(s, arg == "-keep")
	}
	return p.lifeCycle(s, command, arg)
}

func reject(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRejected, fmt.Sprintf(format, args...))
}

func (p *Pair) start(s *side) error {
	switch {
	case !s.primary || p.peer(s).primary:
		return reject("start needs one primary, on this side")
	case !p.connected():
		return reject("the link is down")
	case p.parted():
		return reject("the contents have parted")
	}
	if !p.running {
		p.running, p.held = true, false
		p.begin(s)
	}
	return nil
}

func (p *Pair) stop(s *side) error {
	if !s.primary {
		return reject("stop is for the primary")
	}
	p.running, p.held = false, true
	p.abandon()
	return nil
}

func (p *Pair) sync(s *side) error {
	if !s.primary || !p.running || !p.connected() {
		return reject("sync needs running replication, on the primary")
	}
	if p.copying != nil {
		p.queued = true
	} else {
		p.begin(s)
	}
	return nil
}

func (p *Pair) promote(s *side, force bool) error {
	peer := p.peer(s)
	if s.primary {
		return nil
	}
	if !force {
		switch {
		case !p.connected():
			return reject("the peer cannot be asked")
		case peer.primary:
			return reject("the peer is primary")
		case p.draining() || p.copying != nil:
			return reject("the peer still sends")
		}
	}
	p.abandon()
	p.running = false
	s.primary, s.last, peer.last = true, true, false
	return nil
}

func (p *Pair) undo(s *side, keep bool) error {
	peer := p.peer(s)
	if s.primary || !p.connected() {
		return reject("undo is for a connected secondary")
	}
	if keep {
		s.keptCopy = slices.Clone(s.content)
	}
	n := 0
	for n < len(s.content) && n < len(peer.content) && s.content[n] == peer.content[n] {
		n++
	}
	s.content = slices.Clone(s.content[:n])
	return nil
}

// create makes a pair whose primary is this side; the other one is overwritten.
func (p *Pair) create(s *side) error {
	switch {
	case p.exists:
		return reject("the pair exists")
	case !p.connected():
		return reject("the peer cannot be asked")
	}
	peer := p.peer(s)
	p.exists, p.held, p.running = true, false, true
	s.primary, s.last, peer.primary, peer.last = true, true, false, false
	p.begin(s)
	return nil
}

func (p *Pair) lifeCycle(s *side, command, arg string) error {
	switch command {
	case "create":
		return p.create(s)
	case "delete":
		if p.running {
			return reject("replication is running")
		}
		p.exists = false
	case "add":
		if !slices.Contains(p.members, arg) {
			p.members = append(p.members, arg)
		}
	case "remove":
		p.members = slices.DeleteFunc(p.members, func(m string) bool { return m == arg })
	default:
		return reject("unknown command %q", command)
	}
	return nil
}

// accepting is the number of sides that accept writes.
func (p *Pair) accepting() int {
	n := 0
	for _, s := range p.sides {
		if s.up && s.primary {
			n++
		}
	}
	return n
}

// Violations are the commands by whose effect both sides accepted writes.
func (p *Pair) Violations() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.dual)
}
