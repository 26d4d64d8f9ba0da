package state

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/ddsgo/ddsgo/generation"
)

// Dir resolves the state directory: flag, DDSGO_STATE_DIR, /var/lib/ddsgo for root,
// else $XDG_STATE_HOME/ddsgo (~/.local/state/ddsgo).
func Dir(flag string) (string, error) { return "", errors.ErrUnsupported }

// Store is the state directory.
type Store struct{}

// Open prepares dir (created with mode 0700 if absent). A directory that cannot be
// written is a *failure.Error before anything starts.
func Open(dir string) (*Store, error) { return nil, errors.ErrUnsupported }

// Dir is the directory itself.
func (s *Store) Dir() string { return "" }

// Volume is the document of one volume. t is nil for a volume that is not an LV.
func (s *Store) Volume(id Identity, t Tagger) *Volume { return nil }

// Entry is one row of Volumes.
type Entry struct {
	Identity Identity
	Document *Document // nil when Err is set
	Err      error
}

// Volumes lists every volume that has a document, for status on a target without
// configuration. Tags are not consulted.
func (s *Store) Volumes() ([]Entry, error) { return nil, errors.ErrUnsupported }

// Volume reads and commits one document. Callers hold the volume's Lock around
// Load..Commit; Inspect needs no lock.
type Volume struct{}

// Load returns the current document. It finishes a cut commit: forward when the
// tags already say the pending state, back when they say the current one.
func (v *Volume) Load(ctx context.Context) (*Document, error) { return nil, errors.ErrUnsupported }

// Inspect is Load without finishing anything: for status and --dry-run.
func (v *Volume) Inspect(ctx context.Context) (*Document, error) { return nil, errors.ErrUnsupported }

// Previous returns the document before the newest one: evidence for doctor, never
// to be acted upon.
func (v *Volume) Previous() (*Document, error) { return nil, errors.ErrUnsupported }

// Commit makes d current: after it returns nil, d survives a power cut and the tags
// say the same. d.Revision must be that of the last Load (0 for a new document),
// else ErrStale; Commit raises it. After an error the state is the old or the new
// one: Load says which.
func (v *Volume) Commit(ctx context.Context, d *Document) error { return errors.ErrUnsupported }

// Update is Load (a missing document is a new one of role none), change, Commit.
func (v *Volume) Update(ctx context.Context, change func(*Document) error) (*Document, error) {
	return nil, errors.ErrUnsupported
}

// Forget removes the tags, then the document, its evidence and its changed sets.
func (v *Volume) Forget(ctx context.Context) error { return errors.ErrUnsupported }

// Dir is the volume's own directory, for its spool and journal; created on demand.
func (v *Volume) Dir() (string, error) { return "", errors.ErrUnsupported }

// Sets are the changed sets of this source volume.
func (v *Volume) Sets() *Sets { return nil }

// KeepSets is how many changed sets are kept beyond those that legs still need.
const KeepSets = 16

// Sets is a directory of changed-set files, each committed atomically. The format
// of the files is package extent's.
type Sets struct{}

// Save writes set id (letters, digits, '-', '_') durably. An existing set of that id is replaced.
func (s *Sets) Save(id string, write func(io.Writer) error) error { return errors.ErrUnsupported }

// Open opens set id for reading.
func (s *Sets) Open(id string) (*os.File, error) { return nil, errors.ErrUnsupported }

// List returns the ids, oldest first.
func (s *Sets) List() ([]string, error) { return nil, errors.ErrUnsupported }

// Prune removes the oldest sets beyond KeepSets, but none in needed.
func (s *Sets) Prune(needed ...string) error { return errors.ErrUnsupported }

// Lock is an exclusive flock on one volume. Every child that changes LVM or
// device-mapper gets File as its standard input, so that the lock outlives a killed
// parent until that child ends.
type Lock struct{}

// LockOptions say how long to wait and what to tell others.
type LockOptions struct {
	Purpose string        // "sync appdata": shown to whoever finds the volume locked
	Wait    time.Duration // 0: fail at once
}

// Lock takes the lock of volume id. A held lock is a *failure.Error with code 11
// that names the holder.
func (s *Store) Lock(ctx context.Context, id Identity, opt LockOptions) (*Lock, error) {
	return nil, errors.ErrUnsupported
}

// File is the locked descriptor, for children's standard input.
func (l *Lock) File() *os.File { return nil }

// Release closes our descriptor; the lock ends when no child holds it any more.
func (l *Lock) Release() error { return errors.ErrUnsupported }

// Session is a receiver's revocable claim on a volume: the newest claim wins, and
// promote revokes it. It is checked under the lock before every commit and apply.
type Session struct{}

// BeginSession claims the volume and thereby revokes any earlier session.
func (v *Volume) BeginSession(peer string) (*Session, error) { return nil, errors.ErrUnsupported }

// RevokeSession ends whatever session there is.
func (v *Volume) RevokeSession() error { return errors.ErrUnsupported }

// Check returns ErrRevoked once another session began or promote revoked it.
func (s *Session) Check() error { return errors.ErrUnsupported }

// End gives the claim back, if it is still ours.
func (s *Session) End() error { return errors.ErrUnsupported }

// Stamp is the last generation that plain merge wrote to a device.
type Stamp struct {
	Identity   Identity              `json:"identity"`
	Device     string                `json:"device"`
	Generation generation.Generation `json:"generation"`
	SourceID   string                `json:"source_id"`
	Time       time.Time             `json:"time"`
}

// Stamp reads the stamp of a device; ErrNotFound if there is none.
func (s *Store) Stamp(id Identity) (*Stamp, error) { return nil, errors.ErrUnsupported }

// SetStamp writes it durably.
func (s *Store) SetStamp(st Stamp) error { return errors.ErrUnsupported }

// RemoveStamp removes it; removing none is no error.
func (s *Store) RemoveStamp(id Identity) error { return errors.ErrUnsupported }

// OpenSVC is the content of an OpenSVC agent's dds_state file.
type OpenSVC struct {
	Time time.Time // written without zone: the local time of the source
	UUID string    // LV UUID of snapshot 1
}

// ParseOpenSVC decodes the one line "YYYY-MM-DD HH:MM:SS.ffffff;UUID".
func ParseOpenSVC(b []byte, loc *time.Location) (OpenSVC, error) {
	return OpenSVC{}, errors.ErrUnsupported
}

// Format is the inverse of ParseOpenSVC.
func (o OpenSVC) Format(loc *time.Location) []byte { return nil }

// ReadOpenSVC reads the file at path.
func ReadOpenSVC(path string) (OpenSVC, error) { return OpenSVC{}, errors.ErrUnsupported }

// WriteOpenSVC replaces the file at path atomically and durably.
func WriteOpenSVC(path string, o OpenSVC) error { return errors.ErrUnsupported }
