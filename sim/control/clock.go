package control

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Mode says what moves a Clock.
type Mode string

const (
	Real   Mode = "real"   // the machine's time plus all advances
	Manual Mode = "manual" // only Advance
	Auto   Mode = "auto"   // Advance, and every WaitUntil jumps to its instant
)

// Clock is the time of a simulator. It is safe for concurrent use.
type Clock struct {
	mu      sync.Mutex
	mode    Mode
	offset  time.Duration // Real: added to the machine's time
	at      time.Time     // Manual, Auto: the present instant
	changed chan struct{} // closed and replaced whenever time jumps
}

// NewClock returns a clock; start is the first instant of a Manual or Auto
// clock (zero: the machine's time) and ignored by a Real one.
func NewClock(mode Mode, start time.Time) (*Clock, error) {
	c := &Clock{mode: mode, at: start, changed: make(chan struct{})}
	switch mode {
	case Real:
	case Manual, Auto:
		if start.IsZero() {
			c.at = time.Now()
		}
	default:
		return nil, fmt.Errorf("clock mode %q: expected real, manual or auto", mode)
	}
	return c, nil
}

// Now returns the simulated time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *Clock) now() time.Time {
	if c.mode == Real {
		return time.Now().Add(c.offset).Round(0)
	}
	return c.at
}

// Mode returns the present mode.
func (c *Clock) Mode() Mode {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mode
}

// SetMode changes what moves the clock; the present instant is kept.
func (c *Clock) SetMode(mode Mode) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	switch mode {
	case Real:
		c.offset = time.Until(now)
	case Manual, Auto:
		c.at = now
	default:
		return fmt.Errorf("clock mode %q: expected real, manual or auto", mode)
	}
	c.mode = mode
	c.wake()
	return nil
}

// Advance moves the clock forward. Time never runs backwards: d < 0 is refused.
func (c *Clock) Advance(d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("clock cannot go back by %v", -d)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
	c.at = c.at.Add(d)
	c.wake()
	return nil
}

// wake tells every waiter that time has jumped. c.mu is held.
func (c *Clock) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// Changed returns a channel that is closed at the next jump of the clock.
func (c *Clock) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// WaitUntil returns when the clock has reached t, or with the error of ctx.
// An Auto clock is moved to t.
func (c *Clock) WaitUntil(ctx context.Context, t time.Time) error {
	for {
		c.mu.Lock()
		left, mode, changed := t.Sub(c.now()), c.mode, c.changed
		if left > 0 && mode == Auto {
			c.at = t
			c.wake()
			left = 0
		}
		c.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return err
		}
		if left <= 0 {
			return nil
		}
		if err := waitReal(ctx, mode, left, changed); err != nil {
			return err
		}
	}
}

// waitReal blocks until the clock jumps or, on a Real clock, left has passed.
func waitReal(ctx context.Context, mode Mode, left time.Duration, changed <-chan struct{}) error {
	var due <-chan time.Time
	if mode == Real {
		timer := time.NewTimer(left)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-due:
	}
	return nil
}
