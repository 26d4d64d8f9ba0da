package cli

import (
	"context"
	"os"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/engine"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/replica"
	"github.com/ddsgo/ddsgo/state"
	"github.com/ddsgo/ddsgo/transport"
)

// newHost is this machine with its state directory.
func newHost(env environment) (*replica.Host, error) {
	dir, err := env.stateDir()
	if err != nil {
		return nil, err
	}
	store, err := state.Open(dir)
	if err != nil {
		return nil, err
	}
	name, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	return replica.NewHost(store, env.runner, name, env.log), nil
}

// legOf turns a resource's configuration into a leg.
func legOf(env environment, r config.Resource) (replica.Leg, error) {
	l := r.LVM
	dir, err := env.stateDir()
	if err != nil {
		return replica.Leg{}, err
	}
	codec, err := engine.ParseCodec(l.Codec)
	if err != nil {
		return replica.Leg{}, failure.With(failure.CodeUsage, r.At.String(), "resource "+r.Name, "ddsgo config check", err)
	}
	t := l.Targets[0]
	device := t.Device
	if l.ToImage() {
		to, err := imageEnd(env, t.Ceph, t.Device)
		if err != nil {
			return replica.Leg{}, err
		}
		device = to.String()
	}
	var extend replica.Extension
	if x := l.SnapExtend; x != nil {
		extend = replica.Extension{Step: x.Step.Of, Max: x.Max.Of}
	}
	return replica.Leg{
		Resource: r.Name, Source: l.Source, Device: device, SnapSize: l.SnapSize.Of, SnapExtend: extend,
		Target:    farEnd(t, dir),
		ChunkSize: int64(l.ChunkSize), SubChunk: replica.SubChunk(l.SubChunk), Guard: l.Protect == "snapshot", History: l.History,
		Codec: codec, Direct: l.Direct, ProgressTimeout: l.ProgressTimeout.D(), MaxDelay: l.SyncMaxDelay.D(), OpenSVCState: l.OpenSVCState,
	}, nil
}

// dialer connects by ssh, or to a process of this host.
func dialer(env environment) replica.Dialer {
	return func(ctx context.Context, t transport.Target) (replica.Connection, error) {
		return transport.Dial(ctx, t, transport.Options{Log: env.log})
	}
}

// openLVM makes the driver of an LVM resource.
func openLVM(_ context.Context, env environment, r config.Resource) (array.Driver, error) {
	if r.LVM.FromImage() {
		return openImageLeg(env, r)
	}
	h, err := newHost(env)
	if err != nil {
		return nil, err
	}
	leg, err := legOf(env, r)
	if err != nil {
		return nil, err
	}
	d := &replica.Driver{Host: h, Leg: leg, AtTarget: atTarget(leg)}
	dial, err := targetDialer(env, r)
	if err != nil {
		return nil, err
	}
	d.Opt = replica.SyncOptions{Dial: dial, Events: env.events(r.Name)}
	d.OnSync = env.onSync
	return d, nil
}

// atTarget says that this host is the target's: the source is not here, the target is.
func atTarget(leg replica.Leg) bool {
	if leg.Target.Host == "" {
		return false
	}
	_, srcErr := os.Stat(leg.Source)
	_, dstErr := os.Stat(leg.Device)
	return srcErr != nil && dstErr == nil
}
