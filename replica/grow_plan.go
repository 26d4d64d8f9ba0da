package replica

import (
	"errors"
	"fmt"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/internal/report"
)

// Paths of a grow, as reports name them.
const (
	pathNone  = "none"
	pathDelta = "delta"
	pathHash  = "hash"
)

// errNoChain stands in a plan for what reconcile would say after the chain was ended.
var errNoChain = errors.New("the chain was ended to grow the source")

// growthStep is what a grow does next.
type growthStep int

const (
	growDone   growthStep = iota
	growTarget            // lvextend the target
	growSync              // a sync, which sends the new range where there is one
	growSource            // end the chain, lvextend the source
	growRejoin            // compare by hash
)

// growthFacts is all that decides about a grow. Sizes are bytes.
type growthFacts struct {
	resource, device, host, vg string

	size, want   int64 // of the source: now, and wished
	base         int64 // of the tracking snapshot's generation; 0: no chain
	target       int64 // of the target's volume
	free         int64 // in the source's group, once our snapshots are gone
	stores       int64 // that the two snapshots need at the new size
	changed      int64 // about so much has changed since the base
	noChain      error // why a sync could not go on, as reconcile says; nil: it could
	cut          bool  // an earlier grow or resync was cut, and nothing but that is wrong
	extendTarget bool  // the user said so
	synced       bool  // by this run
}

// nextGrowth decides the next step; pure, a table test walks it. Everything that can be refused
// is refused before the first step.
func nextGrowth(f growthFacts) (growthStep, error) {
	no := func(reason, next string) (growthStep, error) {
		return growDone, failure.Refused(f.resource, reason, next)
	}
	if f.want < f.size {
		return no(fmt.Sprintf("the source has %d bytes: it is not made smaller to %d", f.size, f.want), "ddsgo grow "+f.resource+" --size with more than that")
	}
	if f.noChain != nil && !f.cut {
		return growDone, f.noChain
	}
	if more := f.want - f.size; more > 0 && more+f.stores > f.free {
		return no(fmt.Sprintf("no room: the source needs %d bytes more and its two snapshots %d, volume group %s has %d free without the present snapshots", more, f.stores, f.vg, f.free), "vgextend "+f.vg)
	}
	if f.target < f.want {
		if !f.extendTarget {
			return no(fmt.Sprintf("the target is too small: %s has %d bytes, %d are needed", f.device, f.target, f.want),
				fmt.Sprintf("ddsgo grow %s --extend-target, or on %s: lvextend -L %db %s", f.resource, f.host, f.want, f.device))
		}
		return growTarget, nil
	}
	switch {
	case f.want > f.size && f.noChain == nil && !f.synced:
		return growSync, nil
	case f.want > f.size:
		return growSource, nil
	case f.noChain != nil:
		return growRejoin, nil
	case f.base != f.size:
		return growSync, nil
	}
	return growDone, nil
}

// describeGrowth lists the steps that nextGrowth will take, and what they cost.
func describeGrowth(leg Leg, f growthFacts, rep *report.Grow) []string {
	var steps []string
	to := leg.Site() + ":" + leg.Device
	for {
		step, err := nextGrowth(f)
		switch {
		case err != nil:
			return append(steps, "stop: "+err.Error())
		case step == growTarget:
			steps = append(steps, fmt.Sprintf("lvextend %s from %d to %d bytes", to, f.target, f.want))
			f.target = f.want
		case step == growSync && f.want > f.size:
			steps, f.synced = append(steps, "sync, so that the target is as new as can be"), true
		case step == growSync:
			steps = append(steps, fmt.Sprintf("sync: send what changed and the whole new range, %d bytes from offset %d on, to %s", f.size-f.base, f.base, to))
			f.base = f.size
		case step == growSource:
			steps = append(steps, "remove the snapshots: LVM does not grow an active volume that has some (to grow it while it is inactive keeps the chain, and needs no hashing)",
				fmt.Sprintf("lvextend %s from %d to %d bytes", leg.Source, f.size, f.want))
			f.size, f.base, f.noChain, f.cut = f.want, 0, errNoChain, true
		case step == growRejoin:
			steps = append(steps, "take a new snapshot, compare both volumes by digests, send what differs to "+to)
			f.noChain, f.base = nil, f.size
		default:
			if len(steps) == 0 {
				return []string{"nothing to do: source and copy have the same size"}
			}
			return append(steps, "estimate: "+rep.Estimate(), "then grow the file system on "+leg.Source+", if there is one")
		}
	}
}
