package lvm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ddsgo/ddsgo/internal/run"
)

// sectorSize is the unit of device-mapper's tables.
const sectorSize = 512

// DM looks at and acts on device-mapper devices. Names are dm names or paths of devices.
type DM struct{ l *LVM }

// DM returns the device-mapper side.
func (l *LVM) DM() DM { return DM{l} }

// Info is the state of a dm device.
type Info struct {
	Name      string
	UUID      string
	Live      bool // has a live table
	Inactive  bool // has a pending table
	Suspended bool
	ReadOnly  bool
	Open      int // by processes, mounts, and the tables of other dm devices
	Major     int
	Minor     int
}

// infoFields in the order of parseInfo.
const infoFields = "name,uuid,tables_loaded,suspended,readonly,open,major,minor"

// infoSep cannot be part of a name: dmsetup mangles it.
const infoSep = "|"

// Info returns the state of one device; ErrNotFound if there is none.
func (d DM) Info(ctx context.Context, name string) (Info, error) {
	infos, err := d.infos(ctx, name)
	if err != nil {
		return Info{}, err
	}
	if len(infos) != 1 {
		return Info{}, fmt.Errorf("%s: device-mapper device %w", name, ErrNotFound)
	}
	return infos[0], nil
}

// List returns the state of every dm device.
func (d DM) List(ctx context.Context) ([]Info, error) { return d.infos(ctx, "") }

func (d DM) infos(ctx context.Context, name string) ([]Info, error) {
	args := []string{"info", "--columns", "--noheadings", "--separator", infoSep, "--options", infoFields}
	if name != "" {
		if name[0] == '-' {
			return nil, fmt.Errorf("%w: device %q", ErrBadName, name)
		}
		args = append(args, name)
	}
	res, err := d.l.look(ctx, "dmsetup", args...)
	if err != nil {
		var exit *run.ExitError
		if name != "" && errors.As(err, &exit) && exit.ExitCode == 1 {
			// dmsetup knows only "failed"; it fails in no other way for a name that exists and a caller who is root.
			return nil, fmt.Errorf("%s: device-mapper device %w (%w)", name, ErrNotFound, err)
		}
		return nil, commandError("look at", "device-mapper "+name, err)
	}
	var infos []Info
	for line := range bytes.Lines(res.Stdout) {
		s := strings.TrimSpace(string(line))
		if s == "" || s == "No devices found" {
			continue
		}
		info, err := parseInfo(s)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func parseInfo(line string) (Info, error) {
	f := strings.Split(line, infoSep)
	bad := func(what string) error { return fmt.Errorf("%w: dmsetup info: %s in %q", ErrReport, what, line) }
	if len(f) != len(strings.Split(infoFields, ",")) {
		return Info{}, bad("number of fields")
	}
	i := Info{Name: f[0], UUID: f[1]}
	switch f[2] {
	case "Live":
		i.Live = true
	case "Inactive":
		i.Inactive = true
	case "Both":
		i.Live, i.Inactive = true, true
	case "None":
	default:
		return Info{}, bad("tables")
	}
	switch f[3] {
	case "Suspended":
		i.Suspended = true
	case "Active":
	default:
		return Info{}, bad("state")
	}
	i.ReadOnly = f[4] == "Read-only"
	for n, p := range []*int{&i.Open, &i.Major, &i.Minor} {
		v, err := strconv.Atoi(f[5+n])
		if err != nil || v < 0 {
			return Info{}, bad("number")
		}
		*p = v
	}
	return i, nil
}

// Target is one line of a table or of a status: sectors [Start, Start+Len) and what serves them.
type Target struct {
	Start, Len int64
	Type       string
	Args       []string
}

// Table returns the live table.
func (d DM) Table(ctx context.Context, name string) ([]Target, error) {
	return d.targets(ctx, "table", name)
}

// Status returns the status of each target.
func (d DM) Status(ctx context.Context, name string) ([]Target, error) {
	return d.targets(ctx, "status", name)
}

func (d DM) targets(ctx context.Context, verb, name string) ([]Target, error) {
	if name == "" || name[0] == '-' {
		return nil, fmt.Errorf("%w: device %q", ErrBadName, name)
	}
	res, err := d.l.look(ctx, "dmsetup", verb, name)
	if err != nil {
		return nil, commandError("read "+verb+" of", name, err)
	}
	return parseTargets(res.Stdout)
}

func parseTargets(out []byte) ([]Target, error) {
	var targets []Target
	for line := range bytes.Lines(out) {
		f := strings.Fields(string(line))
		if len(f) == 0 {
			continue
		}
		if len(f) < 3 {
			return nil, fmt.Errorf("%w: dmsetup line %q", ErrReport, line)
		}
		start, err1 := strconv.ParseInt(f[0], 10, 64)
		length, err2 := strconv.ParseInt(f[1], 10, 64)
		if err1 != nil || err2 != nil || start < 0 || length < 0 {
			return nil, fmt.Errorf("%w: dmsetup line %q", ErrReport, line)
		}
		targets = append(targets, Target{Start: start, Len: length, Type: f[2], Args: f[3:]})
	}
	return targets, nil
}

// Suspend holds all I/O to a device, after a flush and, with a file system on it, a freeze. Refused with
// ErrPendingTable if somebody loaded a table: the next resume would take it into use.
func (d DM) Suspend(ctx context.Context, name string) error {
	if err := d.nothingPending(ctx, name); err != nil {
		return err
	}
	return d.l.change(ctx, "suspend", name, "dmsetup", "suspend", name)
}

// Resume ends Suspend. Refused with ErrPendingTable like that; the device then stays suspended and Recover is needed.
func (d DM) Resume(ctx context.Context, name string) error {
	if err := d.nothingPending(ctx, name); err != nil {
		return err
	}
	return d.l.change(ctx, "resume", name, "dmsetup", "resume", name)
}

func (d DM) nothingPending(ctx context.Context, name string) error {
	info, err := d.Info(ctx, name)
	if err != nil {
		return err
	}
	if info.Inactive {
		return fmt.Errorf("%s: %w: run dmsetup clear %s first if no lvm command is at work on it", name, ErrPendingTable, info.Name)
	}
	return nil
}

// ClearInactive drops the pending table. Without one it does nothing.
func (d DM) ClearInactive(ctx context.Context, name string) error {
	return d.l.change(ctx, "clear the inactive table of", name, "dmsetup", "clear", name)
}

// remove takes an unused device down.
func (d DM) remove(ctx context.Context, name string) error {
	return d.l.change(ctx, "remove device", name, "dmsetup", "remove", name)
}
