package replica

import (
	"context"
	"path/filepath"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/transport"
)

// ObserveCopy is the status of one volume from what this host alone knows: for a target
// that has no configuration.
func (h *Host) ObserveCopy(ctx context.Context, doc state.Document) (string, array.Capabilities, array.Observation) {
	name := doc.Resource
	if name == "" {
		name = filepath.Base(doc.Device)
	}
	d := &Driver{Host: h, Leg: Leg{Resource: name, Device: doc.Device, Target: transport.Target{Host: h.Name}}, AtTarget: true}
	caps := d.Capabilities()
	o := array.Observation{At: h.Now().UTC(), Link: array.LinkUnknown, Replication: array.ReplicationUnknown}
	if doc.Role == state.RolePrimary {
		o.Replication = array.Running
		o.Sides = []array.Side{{Site: caps.LocalSite, Reachable: true, ObservedAt: o.At, Role: array.RolePrimary, Writable: array.Yes}}
		g := doc.Generation
		o.Generation = &g
		return name, caps, o
	}
	far, side := d.observeTarget(ctx, &o)
	o.Link = array.LinkUnknown
	o.Sides = []array.Side{side}
	d.conclude(&o, Facts{Resource: name, Target: far}, array.Side{Role: array.RoleUnknown}, side)
	if doc.Source != nil {
		o.Members[0].Name = doc.Source.Host + ":" + doc.Source.Name
	}
	return name, caps, o
}
