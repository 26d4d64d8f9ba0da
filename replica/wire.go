package replica

import (
	"time"

	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/report"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream"
)

// Operations of a session between a source and `ddsgo serve`. Their names are the
// verbs of the allow-list of a forced command.
const (
	opProbe   = "probe"   // roll forward, then say what the volume holds
	opReceive = "receive" // take one delta or full copy
	opHold    = "hold"    // refuse deltas until released
	opRelease = "release"
	opPromote = "promote" // make the volume primary and writable
	opList    = "list"    // every volume that the state directory knows
	opHistory = "history" // the undo deltas of a volume
)

// VolumeRef names a volume of the far side, and whose copy it is meant to be.
type VolumeRef struct {
	Device   string `json:"device"`
	Resource string `json:"resource"`
	Source   string `json:"source"` // identity of the source volume, see state.Document
}

// probeReply is what the far side says of a volume, after rolling forward what it could.
type probeReply struct {
	Condition  string                `json:"condition"` // empty: never received anything
	Generation generation.Generation `json:"generation"`
	To         generation.Generation `json:"to"` // applying, inconsistent: where the cut write led
	Role       string                `json:"role"`
	Fence      uint64                `json:"fence"`
	Source     string                `json:"source"`
	Size       int64                 `json:"size"`            // of the device, bytes
	Grows      bool                  `json:"grows,omitempty"` // it becomes as large as the source by itself
	Applied    time.Time             `json:"applied"`
	Host       string                `json:"host"`
	Detail     string                `json:"detail"`
	Damaged    bool                  `json:"damaged"`
	InUse      string                `json:"in_use"` // who else holds the device, in words
	// Writable is LVM's permission; nil: no logical volume, or from a peer that does not say.
	Writable *bool `json:"writable,omitempty"`
	// Verified is how far the volume was last compared with its source.
	Verified *state.Verified `json:"verified,omitempty"`
	// Bases says that this side checks base digests: it takes sub-chunk deltas.
	Bases bool `json:"bases,omitempty"`
	// Partial is the verified part of a cut transfer that can go on, if any.
	Partial *stream.Cursor `json:"partial,omitempty"`
}

// Mode is how a delta reaches the device.
type mode string

// Modes. Journalled is the default: the device is not touched before the whole delta
// is verified and durable. The others mark the target inconsistent before their first byte.
const (
	modeJournal mode = "journal"
	modeDirect  mode = "direct"
	modeFull    mode = "full"
	// modeSnapshot writes while it receives, like direct, under a snapshot: see guard.go.
	modeSnapshot mode = "snapshot"
	// modeWhole: chunks that did not match the base of a sub-chunk delta, see bases.go.
	modeWhole mode = "whole"
)

type receiveRequest struct {
	VolumeRef
	Mode      mode          `json:"mode"`
	Header    stream.Header `json:"header"`
	Need      int64         `json:"need"`      // upper bound of the delta, bytes, for the spool
	Overwrite bool          `json:"overwrite"` // full: a good generation may go
	Fence     uint64        `json:"fence"`
	// SourceHost is the source's name, for people.
	SourceHost string `json:"source_host"`
	// History is how many undo deltas the target keeps.
	History int `json:"history,omitempty"`
	// Counters are the device's when it was compared: repair and resync.
	Counters *state.Counters `json:"counters,omitempty"`
}

type receiveReady struct {
	Resume *stream.Cursor `json:"resume,omitempty"` // go on after this frame
}

type receiveReply struct {
	Generation generation.Generation `json:"generation"`
	Report     report.Merge          `json:"report"`
	// Differs lists what did not match the base digests: nothing was written, and the source
	// is asked for these ranges as whole chunks. DiffersCut: there are more, send all.
	Differs    []extent.Extent `json:"differs,omitempty"`
	DiffersCut bool            `json:"differs_cut,omitempty"`
	// Doubt says why the target is suspect although the delta was written; empty: it is clean.
	Doubt string `json:"doubt,omitempty"`
}

type promoteReply struct {
	Generation generation.Generation `json:"generation"` // the point in time that is now primary
	Fence      uint64                `json:"fence"`
}
