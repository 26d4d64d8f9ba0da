package hp3par

import (
	"context"
	"sync"
	"time"
)

// shared keeps the newest answer of an array to one question, so that many resources cost
// one command. What went wrong is an answer, too: a dead array is not asked once per
// resource.
type shared[T any] struct {
	mu     sync.Mutex
	last   *answered[T]
	asking chan struct{} // closed when the answer under way has come
}

type answered[T any] struct {
	value       T
	err         error
	asked, came time.Time
}

// get asks, or where mayShare takes an answer younger than listingAge. An answer under way
// is waited for by those who may share only: it may be older than the question.
func (s *shared[T]) get(ctx context.Context, mayShare bool, ask func(context.Context) (T, error)) (T, error) {
	for {
		s.mu.Lock()
		if mayShare && s.last != nil && time.Since(s.last.came) < listingAge {
			defer s.mu.Unlock()
			return s.last.value, s.last.err
		}
		if !mayShare || s.asking == nil {
			break
		}
		asking := s.asking
		s.mu.Unlock()
		select {
		case <-asking:
		case <-ctx.Done():
			var none T
			return none, &silence{context.Cause(ctx), true}
		}
	}
	mine := make(chan struct{})
	s.asking = mine
	s.mu.Unlock()
	a := answered[T]{asked: time.Now()}
	a.value, a.err = ask(ctx)
	a.came = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(mine)
	if s.asking == mine {
		s.asking = nil
	}
	whole := a.err == nil || ctx.Err() == nil // not cut by this asker's own deadline
	if whole && (s.last == nil || a.asked.After(s.last.asked)) {
		s.last = &a
	}
	return a.value, a.err
}

// forget makes the next question a new one.
func (s *shared[T]) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = nil
}
