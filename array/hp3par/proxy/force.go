package proxy

import (
	"context"
	"io"
)

// force is a configuration in force, with its arrays. Its sessions are closed when it has
// been replaced and its last command has ended.
type force struct {
	config   *Config
	runner   Runner
	users    int
	replaced bool
}

// Reload puts another configuration in force; requests under way end by the old one.
func (s *Server) Reload(c *Config, r Runner) {
	s.mu.Lock()
	old := s.now
	s.now = &force{config: c, runner: r}
	for _, g := range s.gates {
		g.resize(c.MaxPerArray)
	}
	idle := false
	if old != nil {
		old.replaced = true
		idle = old.users == 0
	}
	s.mu.Unlock()
	if idle {
		s.close(old)
	}
}

// enter is the configuration in force, held until leave.
func (s *Server) enter() *force {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.users++
	return s.now
}

func (s *Server) leave(f *force) {
	s.mu.Lock()
	f.users--
	last := f.replaced && f.users == 0
	s.mu.Unlock()
	if last {
		s.close(f)
	}
}

func (s *Server) close(f *force) {
	if c, ok := f.runner.(io.Closer); ok {
		if err := c.Close(); err != nil {
			s.log.Warn("closing sessions of the old configuration", "err", err)
		}
	}
}

// Wait starts nothing any more, returns when every command that was started has ended, and
// closes the sessions.
func (s *Server) Wait() {
	s.mu.Lock()
	s.stopped = true
	f := s.now
	s.mu.Unlock()
	s.stop()
	s.acts.Wait()
	s.close(f)
}

// begin counts a command that starts; done is nil when nothing starts any more.
func (s *Server) begin() (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	s.acts.Add(1)
	return s.acts.Done
}

// slot waits for one of the array's few sessions.
func (s *Server) slot(ctx context.Context, f *force, array string) (func(), error) {
	s.mu.Lock()
	g := s.gates[array]
	if g == nil {
		g = &gate{limit: s.now.config.MaxPerArray}
		s.gates[array] = g
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, s.limits.queueTime, errQueue)
	defer cancel()
	defer context.AfterFunc(s.running, cancel)()
	return g.pass(ctx, s.limits.queue)
}
