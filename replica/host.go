package replica

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ddsgo/ddsgo/blockdev"
	"github.com/ddsgo/ddsgo/extent"
	"github.com/ddsgo/ddsgo/internal/run"
	"github.com/ddsgo/ddsgo/journal"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
)

// Host is one end of replication: where its state is and how its volumes are reached.
// Source and target use the same type; tests put fakes into it.
type Host struct {
	Store *state.Store
	Run   run.Runner // how to start LVM's commands
	Name  string     // of this machine, for people
	Log   *slog.Logger

	Now        func() time.Time
	OpenDevice func(path string, o blockdev.Options) (blockdev.Device, error)
	Identify   func(path string) (state.Identity, error)
	Holders    func(path string) ([]blockdev.Holder, error)
	Counters   func(path string) (blockdev.Counters, error)
	// SetReadOnly sets the kernel's flag of a block device that is no logical volume.
	SetReadOnly func(path string, readOnly bool) error
	// FlushDisks makes durable what LVM has committed about a volume.
	FlushDisks func(path string) error
	// WriteSet and OpenSet are package extent's; a set is there as a whole or not at all.
	WriteSet func(path string, h extent.ChangedSetHeader, changed extent.Seq) (extent.SetID, error)
	OpenSet  func(path string) (*extent.ChangedSet, error)
	Journal  journal.FS // of the journals

	// Allow limits what a peer may reach; nil: everything.
	Allow *Allow
	// SpoolDir is where incoming deltas are kept until they are applied; empty: in the
	// state directory.
	SpoolDir string
	// SpoolQuota bounds what a volume's incoming delta, journal and undo deltas may take
	// together, in bytes; 0: what the file system has.
	SpoolQuota int64
	// Checkpoint is how many bytes of a full or direct copy lie between two fsyncs;
	// 0: DefaultCheckpoint.
	Checkpoint int64
	// WatchEvery is how often the fill of snapshots is looked at; 0: DefaultWatchInterval.
	WatchEvery time.Duration
	// Slice is how long a verification holds a volume's lock at a time; 0: DefaultSlice.
	Slice time.Duration
}

func (h *Host) checkpoint() int64 {
	if h.Checkpoint > 0 {
		return h.Checkpoint
	}
	return DefaultCheckpoint
}

// NewHost is this machine.
func NewHost(store *state.Store, r run.Runner, name string, log *slog.Logger) *Host {
	return &Host{
		Store: store, Run: r, Name: name, Log: log, Now: time.Now,
		OpenDevice: func(path string, o blockdev.Options) (blockdev.Device, error) { return openDisk(path, o) },
		Identify:   state.Identify, Holders: blockdev.Holders, Counters: blockdev.ReadCounters,
		SetReadOnly: blockdev.SetReadOnly, FlushDisks: blockdev.FlushDisks,
		WriteSet: extent.WriteChangedSet, OpenSet: extent.OpenChangedSet, Journal: journal.OS{},
	}
}

// lvmUnder runs LVM's commands under a held lock.
func (h *Host) lvmUnder(lock *state.Lock) *lvm.LVM {
	return &lvm.LVM{Runner: h.Run, Lock: lock.File()}
}

// openDisk keeps a nil *Disk from becoming a non-nil Device.
func openDisk(path string, o blockdev.Options) (blockdev.Device, error) {
	d, err := blockdev.Open(path, o)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// lvTagger keeps a volume's state as tags on its logical volume.
type lvTagger struct {
	lvm  *lvm.LVM
	lv   lvm.LV
	seen bool // look only: the tags are those of lv, which was just reported

	flush func(path string) error // makes the tags durable, see blockdev.FlushDisks
}

// Tags implements state.Tagger.
func (t lvTagger) Tags(ctx context.Context) ([]string, error) {
	if t.seen {
		return t.lv.Tags, nil
	}
	lvs, err := t.lvm.Report(ctx, t.lv.VG)
	if err != nil {
		return nil, err
	}
	lv, ok := lvm.ByUUID(lvs, t.lv.UUID)
	if !ok {
		return nil, fmt.Errorf("%s: %w", t.lv, lvm.ErrNotFound)
	}
	return lv.Tags, nil
}

// SetTags implements state.Tagger.
func (t lvTagger) SetTags(ctx context.Context, add, del []string) error {
	if err := t.lvm.SetTags(ctx, t.lv, add, del); err != nil || t.flush == nil {
		return err
	}
	return t.flush(t.lv.Path)
}
