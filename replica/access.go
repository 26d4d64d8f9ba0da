package replica

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
)

// write opens the target's device for an apply, calls do, and closes and protects it
// again on every path. Nobody else may hold the device: not mounted, not swapped to, not
// part of another device, no other opener that device-mapper can see.
func (t *target) write(ctx context.Context, do func(blockdev.Device) error) error {
	if err := t.refuseHeld(); err != nil {
		return err
	}
	permit := t.setWritable
	if t.doc != nil && t.doc.Guard != nil { // it is writable as long as there is a guard
		permit = func(context.Context, bool) error { return nil }
	}
	if err := permit(ctx, true); err != nil {
		return err
	}
	dev, err := t.h.OpenDevice(t.ref.Device, blockdev.Options{Write: true, Exclusive: true})
	if err != nil {
		return errors.Join(t.openFailed(err), permit(ctx, false))
	}
	err = do(t.stampless(dev))
	if closeErr := dev.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("%s: close: %w", t.ref.Device, closeErr)
	}
	// The permission is given back even when the run was cancelled.
	return errors.Join(err, permit(context.WithoutCancel(ctx), false))
}

// refuseHeld refuses a device that somebody else uses.
func (t *target) refuseHeld() error {
	users, err := t.users()
	if err != nil || users == "" {
		return err
	}
	return inUse(t.ref.Device, users, t.h.Name)
}

// inUse is the refusal of a device that somebody else holds.
func inUse(device, users, host string) error {
	return failure.Refused(device, "the target is in use: "+users, "unmount or close it on "+host+", then run the same command again")
}

// users tells in words who else holds the device; empty: nobody that can be seen.
func (t *target) users() (string, error) {
	held, err := t.h.Holders(t.ref.Device)
	if err != nil {
		return "", fmt.Errorf("%s: who uses it: %w", t.ref.Device, err)
	}
	words := make([]string, len(held))
	for i, x := range held {
		words[i] = x.String()
	}
	return strings.Join(words, ", "), nil
}

func (t *target) openFailed(err error) error {
	if errors.Is(err, blockdev.ErrInUse) {
		return failure.With(failure.CodeRefused, t.ref.Device, "the target is in use", "unmount or close it on "+t.h.Name+", then run the same command again", err)
	}
	return fmt.Errorf("%s: open for writing: %w", t.ref.Device, err)
}

// setWritable gives or takes write permission: the LV's own, which lasts across reboots,
// else the kernel's flag. Files have neither.
func (t *target) setWritable(ctx context.Context, on bool) error {
	switch {
	case t.lv != nil:
		p := lvm.ReadOnly
		if on {
			p = lvm.Writable
		}
		if err := t.lvm.SetPermission(ctx, *t.lv, p); err != nil {
			return fmt.Errorf("%s: %w", t.ref.Device, err)
		}
		t.lv.Attr.Permission = p
		return nil
	case t.id.Kind == state.IdentityFile:
		return nil
	}
	if err := t.h.SetReadOnly(t.ref.Device, !on); err != nil {
		return fmt.Errorf("%s: %w", t.ref.Device, err)
	}
	return nil
}
