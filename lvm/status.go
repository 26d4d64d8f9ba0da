package lvm

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// SnapshotStatus is what the kernel says of a snapshot: how full its exception store is, and whether it can be believed.
type SnapshotStatus struct {
	Merging bool // the target is snapshot-merge
	// Problem is "" or the kernel's word for why the store is useless: Invalid, Overflow, Merge failed, Unknown.
	Problem string
	// In bytes: of the store, all that is taken (header and tables included), its size, header and tables.
	Used, Total, Metadata int64
}

// Invalid reports that reads of the snapshot fail and that its exception table misses changes.
func (s SnapshotStatus) Invalid() bool { return s.Problem != "" }

// Exceptions is how many chunks have been copied or are being copied now: a table read later has at least as many,
// once writes that were under way have ended.
func (s SnapshotStatus) Exceptions(chunk int64) int64 {
	if s.Invalid() || chunk <= 0 || s.Used < s.Metadata {
		return 0
	}
	// With copies under way across the end of a table area, the kernel has stepped over the next area's chunk, which
	// it counts as metadata only when this area is full: no more than fit into the areas in use is ever certain.
	return max(0, min((s.Used-s.Metadata)/chunk, (s.Metadata/chunk-1)*(chunk/16)))
}

// SnapshotStatus reads the status of a snapshot (or, while merging, of its origin, where that target then lives).
func (d DM) SnapshotStatus(ctx context.Context, name string) (SnapshotStatus, error) {
	targets, err := d.Status(ctx, name)
	if err != nil {
		return SnapshotStatus{}, err
	}
	if len(targets) != 1 {
		return SnapshotStatus{}, fmt.Errorf("%s: %w: %d targets", name, ErrNotSnapshot, len(targets))
	}
	return parseSnapshotStatus(name, targets[0])
}

// SnapshotChunk is the chunk size of a snapshot in bytes, from its table: "<origin> <store> P|PO <sectors>".
func (d DM) SnapshotChunk(ctx context.Context, name string) (int64, error) {
	targets, err := d.Table(ctx, name)
	if err != nil {
		return 0, err
	}
	if len(targets) != 1 || !isSnapshotTarget(targets[0].Type) || len(targets[0].Args) < 4 {
		return 0, fmt.Errorf("%s: %w: table %v", name, ErrNotSnapshot, targets)
	}
	n, err := strconv.ParseInt(targets[0].Args[3], 10, 32)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%w: chunk size %q of %s", ErrReport, targets[0].Args[3], name)
	}
	return n * sectorSize, nil
}

func isSnapshotTarget(t string) bool { return t == "snapshot" || t == "snapshot-merge" }

func parseSnapshotStatus(name string, t Target) (SnapshotStatus, error) {
	if !isSnapshotTarget(t.Type) {
		return SnapshotStatus{}, fmt.Errorf("%s: %w but %q", name, ErrNotSnapshot, t.Type)
	}
	s := SnapshotStatus{Merging: t.Type == "snapshot-merge"}
	text := strings.Join(t.Args, " ")
	switch text {
	case "Invalid", "Overflow", "Merge failed", "Unknown":
		s.Problem = text
		return s, nil
	}
	bad := fmt.Errorf("%w: status %q of snapshot %s", ErrReport, text, name)
	if len(t.Args) != 2 {
		return SnapshotStatus{}, bad
	}
	used, total, ok := strings.Cut(t.Args[0], "/")
	if !ok {
		return SnapshotStatus{}, bad
	}
	for p, str := range map[*int64]string{&s.Used: used, &s.Total: total, &s.Metadata: t.Args[1]} {
		n, err := strconv.ParseInt(str, 10, 54)
		if err != nil || n < 0 {
			return SnapshotStatus{}, bad
		}
		*p = n * sectorSize
	}
	return s, nil
}
