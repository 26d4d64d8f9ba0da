package state

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// formatSession is the kind of a session file.
const formatSession = "ddsgo-session"

// Session is a receiver's revocable claim on a volume: the newest claim wins, and
// promote revokes it. It is checked under the lock before every commit and apply,
// so that a stalled peer never blocks a promote.
type Session struct {
	volume *Volume
	claim  claim
}

// claim is the body of a session file.
type claim struct {
	ID      string    `json:"id"` // random
	Peer    string    `json:"peer"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
}

// BeginSession claims the volume and thereby revokes any earlier session. The caller
// holds the volume's lock.
func (v *Volume) BeginSession(peer string) (*Session, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	if len(peer) > MaxText {
		peer = peer[:MaxText]
	}
	s := &Session{volume: v, claim: claim{
		ID: hex.EncodeToString(id[:]), Peer: peer, PID: os.Getpid(), Started: v.store.now().UTC(),
	}}
	b, err := seal(formatSession, s.claim)
	if err != nil {
		return nil, err
	}
	if _, err := v.Dir(); err != nil {
		return nil, err
	}
	return s, replaceFile(v.store.fs, filepath.Join(v.dir, sessionFile), b)
}

// RevokeSession ends whatever session there is. The caller holds the volume's lock.
func (v *Volume) RevokeSession() error {
	return removeFile(v.store.fs, filepath.Join(v.dir, sessionFile))
}

// Check returns ErrRevoked once another session began or promote revoked it. The
// caller holds the volume's lock.
func (s *Session) Check() error {
	now, err := s.volume.readClaim()
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: %w by a promote or a forget", s.volume.id, ErrRevoked)
	}
	if err != nil {
		return err
	}
	if now.ID != s.claim.ID {
		return fmt.Errorf("%s: %w by a newer one (from %s, pid %d, begun %s)", s.volume.id, ErrRevoked,
			now.Peer, now.PID, now.Started.Format(time.RFC3339))
	}
	return nil
}

// End gives the claim back, if it is still ours. The caller holds the volume's lock.
func (s *Session) End() error {
	if err := s.Check(); err != nil {
		if errors.Is(err, ErrRevoked) {
			return nil
		}
		return err
	}
	return s.volume.RevokeSession()
}

func (v *Volume) readClaim() (claim, error) {
	var c claim
	b, err := v.store.fs.ReadFile(filepath.Join(v.dir, sessionFile), MaxFile)
	if err != nil {
		return c, err
	}
	return c, unseal(formatSession, b, &c)
}
