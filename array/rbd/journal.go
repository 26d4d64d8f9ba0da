package rbd

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Position is a place in a journal. Positions of one image only grow.
type Position struct {
	Tag   int64 `json:"tag_tid"`
	Entry int64 `json:"entry_tid"`
}

// UnmarshalJSON refuses a position without its two numbers: missing ones must not read as 0.
func (p *Position) UnmarshalJSON(b []byte) error {
	var raw struct {
		Tag   *int64 `json:"tag_tid"`
		Entry *int64 `json:"entry_tid"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	if raw.Tag == nil || raw.Entry == nil {
		return fmt.Errorf("journal position without tag_tid or entry_tid: %.80q", b)
	}
	*p = Position{Tag: *raw.Tag, Entry: *raw.Entry}
	return nil
}

// Before orders positions.
func (p Position) Before(q Position) bool {
	return p.Tag < q.Tag || p.Tag == q.Tag && p.Entry < q.Entry
}

// String is tag/entry.
func (p Position) String() string { return fmt.Sprintf("%d/%d", p.Tag, p.Entry) }

func parsePosition(s string) (Position, bool) {
	t, e, ok := strings.Cut(s, "/")
	tag, err1 := strconv.ParseInt(t, 10, 64)
	entry, err2 := strconv.ParseInt(e, 10, 64)
	return Position{Tag: tag, Entry: entry}, ok && err1 == nil && err2 == nil
}

// JournalStatus is `journal status`. The client "" is the image's own writer; each peer is one more.
type JournalStatus struct {
	Clients []JournalClient `json:"registered_clients"`
}

// JournalClient is one reader of a journal.
type JournalClient struct {
	ID     string `json:"id"`
	State  string `json:"state"` // connected, disconnected
	Commit struct {
		Positions []Position `json:"object_positions"` // empty: nothing committed; nil: not told
	} `json:"commit_position"`
}

// Client finds a client; ok is false when it is not registered or tells no position. A client without any position has
// committed nothing: its position is the zero Position.
func (j JournalStatus) Client(id string) (c JournalClient, pos Position, ok bool) {
	for _, c := range j.Clients {
		if c.ID == id && c.Commit.Positions != nil {
			if len(c.Commit.Positions) > 0 {
				pos = c.Commit.Positions[0]
			}
			return c, pos, true
		}
	}
	return JournalClient{}, Position{}, false
}

// Journal reads the commit positions of an image's journal.
func (c *CLI) Journal(ctx context.Context, img Image) (JournalStatus, error) {
	return query[JournalStatus](ctx, c, "journal", "status", "--pool", img.Pool, "--image", img.Name)
}
