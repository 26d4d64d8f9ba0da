package replica

import (
	"context"
	"errors"
	"fmt"

	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/stream/session"
	"github.com/ddsgo/ddsgo/transport"
)

// opAdopt gives a target that OpenSVC filled its first document.
const opAdopt = "adopt"

type adoptRequest struct {
	VolumeRef
	Generation generation.Generation `json:"generation"`
	SourceHost string                `json:"source_host"`
	SourceName string                `json:"source_name"`
}

// adopt takes over a pair that an OpenSVC agent has kept: both ends' `date;uuid` files must
// name the same snapshot, and that snapshot must still track the source.
func (s *source) adopt(ctx context.Context, opt SyncOptions) error {
	if s.leg.OpenSVCState == "" || !errors.Is(s.docErr, state.ErrNotFound) {
		return nil
	}
	near, err := state.ReadOpenSVC(s.leg.OpenSVCState)
	if err != nil {
		return s.cannotAdopt(err)
	}
	far, err := s.farOpenSVC(ctx)
	if err != nil {
		return s.cannotAdopt(err)
	}
	if near.UUID != far.UUID {
		return s.cannotAdopt(fmt.Errorf("the source's state file names snapshot %s, the target's %s", near.UUID, far.UUID))
	}
	lv, err := s.snapshotByUUID(ctx, near.UUID)
	if err != nil {
		return s.cannotAdopt(err)
	}
	if !lv.SnapshotOf(s.origin) || lv.Invalid() || lv.Merging() {
		return s.cannotAdopt(fmt.Errorf("%s is no valid snapshot of %s", lv, s.origin))
	}
	g := generation.Generation{UUID: lv.UUID, Seq: 1, Time: near.Time.UTC(), Size: s.origin.Size}
	s.ev.step("adopt the pair that OpenSVC kept at " + g.String())
	if opt.DryRun {
		return nil
	}
	if err := s.call(ctx, opAdopt, adoptRequest{s.ref(), g, s.h.Name, s.leg.Source}, &s.far); err != nil {
		return err
	}
	err = s.commit(ctx, func(d *state.Document) {
		d.Tracking, d.Generation = &state.Tracking{UUID: lv.UUID, Name: lv.FullName(), Generation: g}, g
		s.setCursor(d, func(l *state.Leg) { l.Proven = g })
	})
	if err == nil {
		s.docErr = nil
	}
	return err
}

func (s *source) cannotAdopt(err error) error {
	return failure.With(failure.CodeNeedFull, s.leg.Resource, "the pair of OpenSVC cannot be adopted", "ddsgo resync "+s.leg.Resource+", or correct "+s.leg.OpenSVCState+" on both ends", err)
}

// farOpenSVC reads the target's state file by sftp.
func (s *source) farOpenSVC(ctx context.Context) (state.OpenSVC, error) {
	files, err := transport.OpenFiles(ctx, s.leg.Target, transport.Options{Log: s.h.Log})
	if err != nil {
		return state.OpenSVC{}, err
	}
	b, err := files.ReadFile(s.leg.OpenSVCState, state.MaxOpenSVC)
	if err = errors.Join(err, files.Close()); err != nil {
		return state.OpenSVC{}, err
	}
	return state.ParseOpenSVC(b, s.h.Now().Location())
}

// publish writes the `date;uuid` file of an adopted pair on both ends, so that the agent
// goes on to understand it. The target's comes first: the agent refuses a pair whose
// source is ahead.
func (s *source) publish(ctx context.Context, g generation.Generation) error {
	if s.leg.OpenSVCState == "" {
		return nil
	}
	o := state.OpenSVC{Time: g.Time, UUID: g.UUID}
	files, err := transport.OpenFiles(ctx, s.leg.Target, transport.Options{Log: s.h.Log})
	if err == nil {
		err = errors.Join(files.WriteFile(s.leg.OpenSVCState, o.Format(s.h.Now().Location())), files.Close())
	}
	if err == nil {
		err = state.WriteOpenSVC(s.leg.OpenSVCState, o)
	}
	if err != nil {
		return failure.With(failure.CodePartial, s.leg.Resource, "the copy is good, but OpenSVC's state file was not written", "ddsgo sync "+s.leg.Resource+" writes it again", err)
	}
	return nil
}

// adoptTarget serves opAdopt: only a volume that ddsgo does not know yet.
func (h *Host) adoptTarget(ctx context.Context, req *session.Request) error {
	var in adoptRequest
	if err := req.Decode(&in); err != nil {
		return err
	}
	if in.Generation.IsZero() || in.Source == "" {
		return failure.With(failure.CodeCorrupt, in.Device, "malformed request", "update ddsgo on the older of the two hosts", nil)
	}
	t, err := h.openTarget(ctx, in.VolumeRef, "adopt "+in.Resource)
	if err != nil {
		return err
	}
	defer func() { _ = t.release() }()
	if c := t.condition(); t.doc != nil && !(c.Kind == state.KindClean && c.At.UUID == in.Generation.UUID) {
		return t.refuse(failure.CodeRefused, "ddsgo status "+in.Resource, "it is known already, as %v", c)
	}
	if err := t.refuseHeld(); err != nil {
		return err
	}
	src := state.SourceIdentity{ID: in.Source, Host: in.SourceHost, Name: in.SourceName}
	if err := t.becomeClean(ctx, in.Generation, state.Base{Kind: "adopted", Time: h.Now().UTC()}, src); err != nil {
		return err
	}
	reply, err := t.describe()
	if err != nil {
		return err
	}
	return req.Reply(reply)
}
