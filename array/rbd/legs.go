package rbd

import (
	"context"
	"time"
)

// What ddsgo's own legs need of a cluster, beyond what mirroring does.

// CreatedAt is when the image was made; zero when that cannot be read.
func (i Info) CreatedAt() time.Time { return parseTime(snapTimeLayout, i.Created) }

// MetaSet writes one line of the image's metadata: it is there as a whole or not at all.
func (c *CLI) MetaSet(ctx context.Context, img Image, key, value string) error {
	ctx, cancel := context.WithTimeout(ctx, c.times.Call)
	defer cancel()
	words := []string{"image-meta", "set", img.String(), key}
	_, err := c.run(ctx, c.Command(append(words, value)...), c.short(append(words, "...")))
	return err
}

// SnapshotRollback makes the image equal to one of its snapshots; only ctx bounds it. Cut, it is
// repeated.
func (c *CLI) SnapshotRollback(ctx context.Context, img Image, snap string) error {
	_, err := c.long(ctx, "snap", "rollback", "--no-progress", img.At(snap))
	return err
}

// DiffBytes is how much of an image may differ from one of its own snapshots, by whole objects.
func (c *CLI) DiffBytes(ctx context.Context, img Image, from string) (int64, error) {
	changes, err := query[[]Change](ctx, c, "diff", "--whole-object", "--from-snap", from, img.String())
	var n int64
	for _, ch := range changes {
		n += ch.Length
	}
	return n, err
}

// Empty says that nothing was ever written to an image, or all of it discarded.
func (c *CLI) Empty(ctx context.Context, img Image) (bool, error) {
	changes, err := query[[]Change](ctx, c, "diff", "--whole-object", img.String())
	return err == nil && len(changes) == 0, err
}
