package state

import "errors"

// Reading a document. Every one of them comes wrapped in a *failure.Error that
// names the volume, the file and the repair.
var (
	// ErrNotFound: neither a file nor tags; the volume was never configured here.
	ErrNotFound = errors.New("no replication state")
	// ErrLost: the volume carries tags of ddsgo but its state file is gone.
	ErrLost = errors.New("state file missing although the volume is tagged")
	// ErrDamaged: the newest state file cannot be decoded or its checksum is wrong.
	ErrDamaged = errors.New("state file damaged")
	// ErrNewer: the state file was written by a newer ddsgo.
	ErrNewer = errors.New("state file written by a newer version")
	// ErrDisagree: the tags on the volume equal neither the file's current nor its
	// pending state.
	ErrDisagree = errors.New("state file and tags on the volume disagree")
)

// Changing a document.
var (
	// ErrStale: somebody committed between the caller's Load and its Commit.
	ErrStale = errors.New("state changed since it was read")
	// ErrRevoked: another run (a promote, a newer session) took the session away.
	ErrRevoked = errors.New("session revoked")
	// ErrInvalid: the document contradicts itself; nothing was written.
	ErrInvalid = errors.New("invalid state document")
)

// Tags and the OpenSVC file.
var (
	// ErrTag: a tag of ddsgo on the volume cannot be decoded.
	ErrTag = errors.New("malformed ddsgo tag")
	// ErrOpenSVC: not one line of "date;uuid".
	ErrOpenSVC = errors.New("corrupt OpenSVC dds state file")
)
