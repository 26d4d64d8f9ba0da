package infinibox

import (
	"encoding/json"

	"github.com/ddsgo/ddsgo/sim/control"
)

// Fault kinds.
const (
	faultLinkDown    = "link_down"         // the link is DOWN, both boxes answer
	faultArrayDown   = "array_down"        // the box is dead: no management, no link
	faultMgmtDown    = "mgmt_down"         // management addresses do not answer, replication goes on
	faultPeerDown    = "peer_down"         // this box cannot reach its peer: link_state UNKNOWN here
	faultSlow        = "slow_ms"           // every answer is late
	fault503         = "http_503"          // 503, nothing done
	fault502         = "html_502"          // 502 with an HTML body, nothing done
	faultError200    = "error_200"         // an error envelope with status 200, nothing done
	faultDropReply   = "drop_reply"        // the request is carried out, its answer is lost
	faultTruncate    = "truncate_body"     // the request is carried out, its answer is cut in the middle
	faultExpire      = "expire_session"    // all cookie sessions end
	faultTaskSeconds = "task_seconds"      // how long a job takes
	faultTaskFail    = "task_fail"         // jobs fail: AUTO_SUSPENDED
	faultStalled     = "stalled_job"       // jobs make no progress
	faultClock       = "clock_offset_s"    // this box's clock is wrong
	faultApproval    = "approval_status"   // HTTP status of APPROVAL_REQUIRED: 403 or 409
	faultRemotePerm  = "remote_permission" // what touches the peer needs X-Remote-Authorization
	faultChangeRole  = "change_role"       // refuse_source: a linked SOURCE refuses; allow_target: a linked TARGET accepts though its peer is SOURCE
	faultFieldValue  = "field_value"       // a replica or link shows value in field match
)

func faultKinds() map[string]control.ValueType {
	return map[string]control.ValueType{
		faultLinkDown: control.Bool, faultArrayDown: control.Bool, faultMgmtDown: control.Bool, faultPeerDown: control.Bool,
		faultSlow: control.Number, fault503: control.Bool, fault502: control.Bool, faultError200: control.Bool,
		faultDropReply: control.Bool, faultTruncate: control.Bool, faultExpire: control.Bool,
		faultTaskSeconds: control.Number, faultTaskFail: control.Bool, faultStalled: control.Bool,
		faultClock: control.Number, faultApproval: control.Number, faultRemotePerm: control.Bool,
		faultChangeRole: control.Text, faultFieldValue: control.Any,
	}
}

func (b *box) fault(kind string) bool {
	_, on := b.w.faults.Active(b.name, kind)
	return on
}

// linkUp reports whether the two boxes see each other.
func (w *world) linkUp() bool {
	for _, b := range w.boxes {
		if b.fault(faultLinkDown) || b.fault(faultArrayDown) || b.fault(faultPeerDown) {
			return false
		}
	}
	return true
}

// disguise applies faults field_value to what a replica or link shows.
func (b *box) disguise(v view) view {
	for _, f := range b.w.faults.List() {
		if f.Kind != faultFieldValue || (f.Array != "" && f.Array != b.name) {
			continue
		}
		if _, ok := v[f.Match]; !ok {
			continue
		}
		var value any
		if json.Unmarshal(f.Value, &value) == nil {
			v[f.Match] = value
		}
	}
	return v
}
