package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/ddsgo/ddsgo/stream"
)

// commitVersion is the version of commit.json.
const commitVersion = 1

// Limits of a commit record.
const (
	MaxMembers      = 256
	maxCommitRecord = 1 << 20
)

// Member is one delta of a transaction.
type Member struct {
	Name   string        `json:"name"`   // as given to Begin
	Target string        `json:"target"` // what it is written to, for people and for roll-forward
	Header stream.Header `json:"header"`
	Digest string        `json:"digest"` // of the whole delta
	Bytes  int64         `json:"bytes"`  // length of the file
}

// record is commit.json.
type record struct {
	Version  int       `json:"version"`
	Time     time.Time `json:"time"`
	Members  []Member  `json:"members"`
	Checksum string    `json:"checksum"` // SHA-256 of the record with an empty checksum
}

func (r record) sum() (string, error) {
	r.Checksum = ""
	b, err := json.Marshal(r)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}

// Transaction is a committed journal.
type Transaction struct {
	dir     *Dir
	Time    time.Time
	Members []Member
}

// Commit makes the spools of the members, and nothing else that lies in incoming, the
// journal. Every spool was closed without error and holds a whole, verified delta. now is
// kept for people. After an error there is a journal or there is none: Pending says which.
func (d *Dir) Commit(now time.Time, members ...Member) (*Transaction, error) {
	if err := d.checkMembers(members); err != nil {
		return nil, err
	}
	r := record{Version: commitVersion, Time: now.UTC(), Members: members}
	sum, err := r.sum()
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	r.Checksum = sum
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if err := d.writeRecord(b); err != nil {
		return nil, fmt.Errorf("journal: commit: %w", err)
	}
	return &Transaction{dir: d, Time: r.Time, Members: members}, nil
}

// checkMembers compares the members with what lies in incoming and drops what is not theirs.
func (d *Dir) checkMembers(members []Member) error {
	if len(members) == 0 || len(members) > MaxMembers {
		return fmt.Errorf("%d members: %w", len(members), ErrMember)
	}
	if _, err := d.fs.List(d.in(committedDir)); err == nil {
		return fmt.Errorf("%s: %w", d.path, ErrPending)
	}
	wanted := map[string]bool{}
	for _, m := range members {
		size, err := d.fs.Size(d.in(incomingDir, m.Name+deltaSuffix))
		if err != nil || size != m.Bytes || wanted[m.Name] {
			return fmt.Errorf("%q, %d bytes, file %d bytes: %w", m.Name, m.Bytes, size, errors.Join(ErrMember, err))
		}
		wanted[m.Name] = true
	}
	names, err := d.fs.List(d.in(incomingDir))
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	for _, n := range names {
		if m, ok := memberOf(n); ok && wanted[m] {
			continue
		}
		if err := d.fs.Remove(d.in(incomingDir, n)); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	return nil
}

// writeRecord is steps 2 to 5 of the commit; the spools were fsynced when they were closed.
func (d *Dir) writeRecord(b []byte) error {
	f, err := d.fs.Create(d.in(incomingDir, commitFile))
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := d.fs.SyncDir(d.in(incomingDir)); err != nil {
		return err
	}
	if err := d.fs.Rename(d.in(incomingDir), d.in(committedDir)); err != nil {
		return err
	}
	return d.fs.SyncDir(d.path)
}

// Pending returns the committed journal; ErrNotFound where there is none, ErrDamaged where
// the record cannot be believed. It makes the commit durable: a run that was cut between
// rename and fsync has left that open.
func (d *Dir) Pending() (*Transaction, error) {
	f, err := d.fs.Open(d.in(committedDir, commitFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, listErr := d.fs.List(d.in(committedDir)); listErr == nil {
			return nil, fmt.Errorf("%s: %w: no commit record", d.path, ErrDamaged)
		}
		return nil, fmt.Errorf("%s: %w", d.path, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxCommitRecord+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	r, err := parseRecord(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", d.path, ErrDamaged, err)
	}
	for _, m := range r.Members {
		size, err := d.fs.Size(d.in(committedDir, m.Name+deltaSuffix))
		if err != nil || size != m.Bytes {
			return nil, fmt.Errorf("%s: member %s: %d bytes, committed %d: %w", d.path, m.Name, size, m.Bytes, errors.Join(ErrDamaged, err))
		}
	}
	if err := d.fs.SyncDir(d.path); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return &Transaction{dir: d, Time: r.Time, Members: r.Members}, nil
}

func parseRecord(b []byte) (record, error) {
	var r record
	if len(b) > maxCommitRecord {
		return r, fmt.Errorf("commit record of more than %d bytes", maxCommitRecord)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return r, err
	}
	want, err := r.sum()
	switch {
	case err != nil:
		return r, err
	case r.Version != commitVersion:
		return r, fmt.Errorf("commit record of version %d, this program reads %d", r.Version, commitVersion)
	case want != r.Checksum:
		return r, errors.New("checksum of the commit record differs")
	case len(r.Members) == 0 || len(r.Members) > MaxMembers:
		return r, fmt.Errorf("%d members", len(r.Members))
	}
	for _, m := range r.Members {
		if !memberForm.MatchString(m.Name) {
			return r, fmt.Errorf("member %q", m.Name)
		}
	}
	return r, nil
}

// Member finds a member by name.
func (t *Transaction) Member(name string) (Member, bool) {
	for _, m := range t.Members {
		if m.Name == name {
			return m, true
		}
	}
	return Member{}, false
}

// Open opens the delta of a member for reading.
func (t *Transaction) Open(name string) (File, error) {
	f, err := t.dir.fs.Open(t.dir.in(committedDir, name+deltaSuffix))
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return f, nil
}

// Path is the file of a member, for people.
func (t *Transaction) Path(name string) string { return t.dir.in(committedDir, name+deltaSuffix) }
