package proxy

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// gate lets a few commands at a time through to one array, in the order in which they
// came.
type gate struct {
	mu    sync.Mutex
	limit int
	busy  int
	queue []chan struct{} // closed when it is this one's turn
}

// pass waits for its turn. The error is ErrBusy; nothing was started then.
func (g *gate) pass(ctx context.Context, longest int) (release func(), err error) {
	g.mu.Lock()
	if g.busy < g.limit && len(g.queue) == 0 {
		g.busy++
		g.mu.Unlock()
		return g.release, nil
	}
	if len(g.queue) >= longest {
		g.mu.Unlock()
		return nil, fmt.Errorf("%w: %d wait already", ErrBusy, longest)
	}
	turn := make(chan struct{})
	g.queue = append(g.queue, turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return g.release, nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	i := slices.Index(g.queue, turn)
	if i >= 0 {
		g.queue = slices.Delete(g.queue, i, i+1)
	}
	g.mu.Unlock()
	if i < 0 { // the turn came in the same moment: pass it on
		g.release()
	}
	return nil, fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy--
	g.admit()
}

// admit calls those whose turn it is. The lock is held.
func (g *gate) admit() {
	for g.busy < g.limit && len(g.queue) > 0 {
		close(g.queue[0])
		g.queue = g.queue[1:]
		g.busy++
	}
}

// resize changes the limit; commands under way are not stopped by a lower one.
func (g *gate) resize(limit int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit = limit
	g.admit()
}
