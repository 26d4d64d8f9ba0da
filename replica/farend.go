package replica

import (
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/stream"
	"github.com/ddsgo/ddsgo/stream/session"
)

// What a session between a source and the owner of a target says, for ends that are no logical
// volumes (package image): its sources talk to a Service, and its targets answer a source of this
// package.
type (
	ProbeReply     = probeReply
	Mode           = mode
	ReceiveRequest = receiveRequest
	ReceiveReady   = receiveReady
	ReceiveReply   = receiveReply
	PromoteReply   = promoteReply
)

// Operations and modes of such a session.
const (
	OpInspect = opInspect
	OpProbe   = opProbe
	OpReceive = opReceive
	OpHold    = opHold
	OpRelease = opRelease
	OpPromote = opPromote

	ModeJournal = modeJournal
	ModeDirect  = modeDirect
	ModeFull    = modeFull
)

// Validate refuses what no source of this version sends.
func (in *receiveRequest) Validate() error { return in.validate() }

// SameDelta lets only the delta pass that was announced and admitted.
func SameDelta(announced stream.Header) func(stream.Header) error { return sameDelta(announced) }

// Relay passes the engine's progress on to the source.
func Relay(req *session.Request) func(engine.Progress) { return relay(req) }

// TargetFactsOf is what a target's answer means to a source with this identity.
func TargetFactsOf(r ProbeReply, source string) TargetFacts { return targetFactsOf(r, source) }
