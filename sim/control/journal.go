package control

import (
	"sync"
	"time"
)

// Entry is one command or request that an array received.
type Entry struct {
	Seq       uint64    `json:"seq"`
	Time      time.Time `json:"time"`
	Array     string    `json:"array"`
	Transport string    `json:"transport"` // ssh-exec, ssh-pipe, ssh-pty, https, http
	User      string    `json:"user"`
	Command   string    `json:"command,omitempty"` // command lines
	Method    string    `json:"method,omitempty"`  // HTTP
	Path      string    `json:"path,omitempty"`    // HTTP, with the query
	Body      string    `json:"body,omitempty"`    // HTTP; secrets are masked by the writer
	RC        int       `json:"rc"`                // exit status, or HTTP status; -1 while running or never answered
}

// journalLimit bounds memory in long runs: older entries are forgotten, their
// sequence numbers are not used again.
const journalLimit = 100_000

// Journal records entries in order of arrival. It is safe for concurrent use.
type Journal struct {
	mu      sync.Mutex
	next    uint64
	entries []Entry
}

// Begin records a command before it runs, so that a command which blocks or is
// cut off is visible too, and returns its sequence number for End.
func (j *Journal) Begin(e Entry) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.next++
	e.Seq, e.RC = j.next, -1
	j.entries = append(j.entries, e)
	if len(j.entries) > journalLimit {
		j.entries = append([]Entry(nil), j.entries[journalLimit/10:]...)
	}
	return e.Seq
}

// End stores the result of the command that Begin numbered seq.
func (j *Journal) End(seq uint64, rc int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.entries) == 0 || seq < j.entries[0].Seq {
		return // forgotten, or the journal was reset
	}
	if i := int(seq - j.entries[0].Seq); i < len(j.entries) {
		j.entries[i].RC = rc
	}
}

// Since returns a copy of all entries with a sequence number above seq.
func (j *Journal) Since(seq uint64) []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]Entry, 0, len(j.entries))
	for _, e := range j.entries {
		if e.Seq > seq {
			out = append(out, e)
		}
	}
	return out
}

// Reset empties the journal; sequence numbers go on.
func (j *Journal) Reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = nil
}
