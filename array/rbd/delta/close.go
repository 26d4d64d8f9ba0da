package delta

import "io"

// Writer passes on what is written to w, and closes the source when w takes no more: readers that wait
// for their turn would wait for ever for those that gave up.
func (s *Source) Writer(w io.Writer) io.Writer { return guarded{w, s} }

type guarded struct {
	w io.Writer
	s *Source
}

// Write implements io.Writer.
func (g guarded) Write(p []byte) (int, error) {
	n, err := g.w.Write(p)
	if err != nil {
		g.s.closeWith(err)
	}
	return n, err
}

// Close ends the export. Readers that still wait get an error.
func (s *Source) Close() error {
	s.closeWith(io.ErrClosedPipe)
	return nil
}

// closeWith ends the export first: a reader may hold the lock while it waits for the stream.
func (s *Source) closeWith(why error) {
	s.cancel()
	_ = s.pipe.Close()
	s.mu.Lock()
	if s.failed == nil {
		s.failed = why
	}
	s.turn.Broadcast()
	s.mu.Unlock()
}
