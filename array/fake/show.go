package fake

import (
	"fmt"
	"slices"
	"time"
)

// Answer is what one side tells: the fake's `show` command.
type Answer struct {
	Time     time.Time
	Exists   bool
	Primary  bool
	Last     bool // was the last primary
	Open     bool // an application has it open
	OwnData  bool // writes that the peer lacks; only known while connected
	Link     bool
	Running  bool
	Held     bool
	Copying  bool
	Queued   bool
	Equal    bool // contents are equal; only known while connected
	Parted   bool
	Point    int64
	SyncedAt time.Time
	Members  []string
	Mode     string
}

// Show asks one side.
func (p *Pair) Show(site string) (Answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.side(site)
	if err != nil {
		return Answer{}, err
	}
	if !s.up {
		return Answer{}, fmt.Errorf("%s: %w", site, ErrNoReply)
	}
	p.advance(commandTime)
	peer := p.peer(s)
	a := Answer{
		Time: p.now, Exists: p.exists, Primary: s.primary, Last: s.last, Open: s.writers, Link: p.connected(),
		Running: p.running, Held: p.held, Copying: p.copying != nil, Queued: p.queued, Parted: p.parted(),
		Point: p.point, SyncedAt: p.synced, Members: slices.Clone(p.members), Mode: "async",
	}
	if p.options.Sync {
		a.Mode = "sync"
	}
	if a.Link {
		a.Equal = slices.Equal(s.content, peer.content)
		a.OwnData = !prefix(s.content, peer.content)
	}
	return a, nil
}
