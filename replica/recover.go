package replica

import (
	"context"

	"github.com/ddsgo/ddsgo/state"
)

// Recovered is one target after a roll-forward.
type Recovered struct {
	Device    string
	Condition string
	Err       error
}

// RecoverAll rolls every target of this host forward, as at boot before anything mounts them.
func (h *Host) RecoverAll(ctx context.Context) ([]Recovered, error) {
	docs, err := h.Copies()
	if err != nil {
		return nil, err
	}
	var all []Recovered
	for _, d := range docs {
		if d.Role != state.RoleSecondary {
			continue
		}
		r := Recovered{Device: d.Device}
		r.Condition, r.Err = h.recoverOne(ctx, d)
		all = append(all, r)
	}
	return all, nil
}

func (h *Host) recoverOne(ctx context.Context, d state.Document) (string, error) {
	t, err := h.openTarget(ctx, VolumeRef{Device: d.Device, Resource: d.Resource}, "recover "+d.Device)
	if err != nil {
		return "", err
	}
	defer func() { _ = t.release() }()
	err = t.rollForward(ctx, nil)
	return t.condition().String(), err
}
