package fake

import (
	"fmt"
	"slices"
)

// SetUp makes a side disappear or come back as it was.
func (p *Pair) SetUp(site string, up bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.side(site)
	if err != nil {
		return err
	}
	s.up = up
	if !up {
		p.cut()
	}
	return nil
}

// SetLink cuts or joins the link between the sides.
func (p *Pair) SetLink(up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.link = up
	if !up {
		p.cut()
	}
}

// cut ends what was on its way. Replication goes on by itself when the link returns.
func (p *Pair) cut() { p.abandon() }

// SetWriters says whether an application has the volume open at a side.
func (p *Pair) SetWriters(site string, open bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.side(site)
	if err != nil {
		return err
	}
	s.writers = open
	return nil
}

// Write writes at a side as an application would; the storage accepts it on a primary
// only.
func (p *Pair) Write(site string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.side(site)
	if err != nil {
		return err
	}
	if !s.up {
		return fmt.Errorf("%s: %w", site, ErrNoReply)
	}
	if !s.primary {
		return reject("%s is read-only", site)
	}
	p.writes++
	s.content = append(s.content, p.writes)
	if src, dst := p.direction(); p.options.Sync && p.running && src == s && p.connected() && prefix(dst.content, s.content) {
		dst.content = slices.Clone(s.content)
	}
	return nil
}

// Read is the content of a side, as text.
func (p *Pair) Read(site string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.side(site)
	if err != nil {
		return "", err
	}
	if !s.up {
		return "", fmt.Errorf("%s: %w", site, ErrNoReply)
	}
	return fmt.Sprint(s.content), nil
}

// Kept is the content that undo -keep has saved at a side.
func (p *Pair) Kept(site string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.side(site)
	if err != nil || s.keptCopy == nil {
		return ""
	}
	return fmt.Sprint(s.keptCopy)
}
