package replica

import (
	"time"

	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/transport"
)

// Defaults of a leg.
const (
	DefaultProgressTimeout = 5 * time.Minute
	DefaultMaxDelay        = 27 * time.Hour // OpenSVC's 1d3h
)

// Leg is one source volume to one target volume, as configured.
type Leg struct {
	Resource string
	Source   string           // device of the source LV
	Target   transport.Target // where the target's ddsgo runs
	Device   string           // of the target, as the target's host names it
	SnapSize func(origin int64) int64
	// SnapExtend is how far filling snapshots may grow.
	SnapExtend Extension

	Codec           engine.Codec
	Direct          bool          // write the target without a journal
	ChunkSize       int64         // of new snapshots; 0: LVM's default
	Guard           bool          // write the target under a snapshot instead of from a journal
	History         int           // undo deltas that the target keeps
	SubChunk        SubChunk      // zero: auto
	ProgressTimeout time.Duration // 0: DefaultProgressTimeout
	MaxDelay        time.Duration // 0: DefaultMaxDelay
	OpenSVCState    string        // path of the `date;uuid` file on both ends; empty: none
}

// Name is the leg's key in the source's document.
func (l Leg) Name() string { return state.LegName(l.Target.Host, l.Device) }

// Site is the target's site name.
func (l Leg) Site() string {
	if l.Target.Host == "" {
		return SiteLocal
	}
	return l.Target.Host
}

// Site names of LVM resources.
const (
	SiteSource = "source"
	SiteLocal  = "local"
)

// Events tells a run's progress. Every field may be nil.
type Events struct {
	Step     func(text string)                           // a step begins
	Progress func(phase string, done, total, sent int64) // bytes
}

func (e Events) step(text string) {
	if e.Step != nil {
		e.Step(text)
	}
}

func (e Events) progress(p engine.Progress) {
	if e.Progress != nil {
		e.Progress(p.Phase, p.Done, p.Total, p.Sent)
	}
}

func (l Leg) maxDelay() time.Duration {
	if l.MaxDelay > 0 {
		return l.MaxDelay
	}
	return DefaultMaxDelay
}
