package infinibox

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/ddsgo/ddsgo/sim/control"
)

// discardLog: aborted connections are faults, not news.
func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

// Settle implements control.Simulator.
func (s *Sim) Settle() {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.settle()
}

// Reset implements control.Simulator.
func (s *Sim) Reset() error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.w.resetBoxes()
}

// state is the answer of GET /v1/state.
type state struct {
	Arrays     []boxState   `json:"arrays"`
	Violations []string     `json:"violations"`  // datasets that accepted writes on both boxes
	TwoSources []twoSources `json:"two_sources"` // moments from which both sides were SOURCE
	LinkUp     bool         `json:"link_up"`
}

type boxState struct {
	Name       string       `json:"name"`
	SystemName string       `json:"system_name"`
	Serial     int64        `json:"serial"`
	Pools      []view       `json:"pools"`
	Volumes    []hostVolume `json:"volumes"` // and filesystems, as hosts see them
	Groups     []view       `json:"cgs"`
	Links      []view       `json:"links"`
	Replicas   []view       `json:"replicas"`
}

// hostVolume is a dataset as its hosts see it.
type hostVolume struct {
	ID       int64  `json:"id"`
	Name     string `json:"name"`
	Kind     string `json:"dataset_type"`
	Type     string `json:"type"`
	Size     int64  `json:"size"`
	Writable bool   `json:"writable"`
	Why      string `json:"why,omitempty"`
}

// State implements control.Simulator.
func (s *Sim) State() any {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	out := state{Violations: append([]string{}, s.w.violations...), TwoSources: append([]twoSources{}, s.w.twoSources...), LinkUp: s.w.linkUp()}
	for _, b := range s.w.boxes {
		bs := boxState{Name: b.name, SystemName: b.title, Serial: b.serial, Pools: []view{}, Volumes: []hostVolume{}, Groups: []view{}, Links: []view{}, Replicas: []view{}}
		for _, p := range sorted(b.pools) {
			bs.Pools = append(bs.Pools, b.poolView(p))
		}
		for _, d := range sorted(b.datasets) {
			why := b.readOnly(d)
			bs.Volumes = append(bs.Volumes, hostVolume{d.id, d.name, d.kind, d.class, d.size, why == "", why})
		}
		for _, g := range sorted(b.groups) {
			bs.Groups = append(bs.Groups, b.groupView(g))
		}
		for _, l := range sorted(b.links) {
			bs.Links = append(bs.Links, b.linkView(l))
		}
		for _, r := range sorted(b.replicas) {
			bs.Replicas = append(bs.Replicas, b.replicaView(r))
		}
		out.Arrays = append(out.Arrays, bs)
	}
	return out
}

// readOnly says why hosts cannot write to d, "" when they can.
func (b *box) readOnly(d *dataset) string {
	_, target, _ := b.roles(d)
	switch {
	case b.fault(faultArrayDown):
		return "the box is down"
	case target:
		return "replication TARGET"
	case d.writeProtected:
		return "write protected"
	}
	return ""
}

// IO implements control.Simulator: what a host reads and writes.
func (s *Sim) IO(_ context.Context, r control.IORequest) ([]byte, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.settle()
	b, d, err := s.w.hostVolume(r.Array, r.Volume)
	if err != nil {
		return nil, err
	}
	length := r.Length
	if r.Op == "write" {
		length = int64(len(r.Data))
	}
	if r.Offset > d.size || length > d.size-r.Offset {
		return nil, fmt.Errorf("%w: bytes %d..%d are outside %q of %d bytes", control.ErrBadRequest, r.Offset, r.Offset+length, d.name, d.size)
	}
	if r.Op == "read" {
		if b.fault(faultArrayDown) {
			return nil, fmt.Errorf("%w: %s is down", control.ErrForbidden, b.name)
		}
		data := make([]byte, length)
		if err := d.data.readAt(data, r.Offset); err != nil {
			return nil, fmt.Errorf("read %q: %w", d.name, err)
		}
		return data, nil
	}
	if why := b.readOnly(d); why != "" {
		return nil, fmt.Errorf("%w: %s on %s is read-only: %s", control.ErrForbidden, d.name, b.name, why)
	}
	if err := d.data.writeAt(r.Data, r.Offset); err != nil {
		return nil, fmt.Errorf("write %q: %w", d.name, err)
	}
	b.noteWrite(d)
	b.mirror(d)
	return nil, nil
}

func (w *world) hostVolume(array, name string) (*box, *dataset, error) {
	for _, b := range w.boxes {
		if b.name != array {
			continue
		}
		for _, d := range sorted(b.datasets) {
			if d.name == name {
				return b, d, nil
			}
		}
		return nil, nil, fmt.Errorf("%w: volume %q on %s", control.ErrNotFound, name, array)
	}
	return nil, nil, fmt.Errorf("%w: array %q", control.ErrNotFound, array)
}

// noteWrite records a violation when hosts wrote to both sides since the last
// common point: from then on one side's writes are lost.
func (b *box) noteWrite(d *dataset) {
	for _, r := range b.replicasOf(d) {
		there, ok := b.other(r)
		for _, p := range r.pairs {
			if p.local != d.id || r.role != roleSource {
				continue
			}
			first := !p.written
			p.written = true
			if !ok || !first || there.role != roleSource {
				continue
			}
			if far := there.counterpart(p); far != nil && far.written {
				b.w.violations = append(b.w.violations, fmt.Sprintf("%q (%s) and %q (%s) both accepted writes", d.name, b.name, b.peer().datasets[p.remote].name, b.peer().name))
			}
		}
	}
}
