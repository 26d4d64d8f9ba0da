package rbd

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/ddsgo/ddsgo/internal/run"
)

// Change is one extent of `rbd diff`. Not Exists: it reads as zeros now.
type Change struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
	Exists yesNo `json:"exists"`
}

// Diff lists what changed between two snapshots; from "" is everything that is in to. The list is
// sorted; its borders are those of objects.
func (c *CLI) Diff(ctx context.Context, img Image, from, to string) ([]Change, error) {
	args := []string{"diff"}
	if from != "" {
		args = append(args, "--from-snap", from)
	}
	return query[[]Change](ctx, c, append(args, img.At(to))...)
}

// DiffHead says whether the image differs from its own snapshot, by whole objects.
func (c *CLI) DiffHead(ctx context.Context, img Image, from string) (bool, error) {
	changes, err := query[[]Change](ctx, c, "diff", "--whole-object", "--from-snap", from, img.String())
	return len(changes) > 0, err
}

// ExportDiff writes the diff stream of an image; only ctx bounds it. Its end alone does not prove that
// the stream is whole: rbd writes a good header before it fails.
func (c *CLI) ExportDiff(ctx context.Context, w io.Writer, img Image, from, to string) error {
	args := []string{"export-diff", "--no-progress"}
	if from != "" {
		args = append(args, "--from-snap", from)
	}
	args = append(args, img.At(to), "-")
	cmd := c.Command(args...)
	cmd.Stdout = w
	_, err := c.run(ctx, cmd, c.short(args))
	return err
}

// ImportDiff applies a diff stream to an image; the stream's end snapshot is made last.
func (c *CLI) ImportDiff(ctx context.Context, r io.Reader, img Image) error {
	args := []string{"import-diff", "--no-progress", "-", img.String()}
	cmd := c.Command(args...)
	cmd.Stdin = r
	_, err := c.run(ctx, cmd, c.short(args))
	return err
}

// SnapshotCreate and the like take POOL/IMAGE@SNAP.
func (c *CLI) SnapshotCreate(ctx context.Context, img Image, snap string) error {
	_, err := c.call(ctx, "snap", "create", "--no-progress", img.At(snap))
	return err
}

// SnapshotRemove removes a snapshot.
func (c *CLI) SnapshotRemove(ctx context.Context, img Image, snap string) error {
	_, err := c.call(ctx, "snap", "rm", "--no-progress", img.At(snap))
	return err
}

// CreateBytes makes an empty image of an exact size.
func (c *CLI) CreateBytes(ctx context.Context, img Image, size int64) error {
	_, err := c.call(ctx, "create", "--size", fmt.Sprintf("%dB", size), img.String())
	return err
}

// Available is how many bytes the pool still takes, as Ceph estimates it, and within its quota.
func (c *CLI) Available(ctx context.Context, pool string) (int64, error) {
	type answer struct {
		Pools []struct {
			Name  string `json:"name"`
			Stats struct {
				MaxAvail int64 `json:"max_avail"`
				Quota    int64 `json:"quota_bytes"` // 0: none
				Stored   int64 `json:"stored"`
			} `json:"stats"`
		} `json:"pools"`
	}
	a, err := cephQuery[answer](ctx, c, "df", "detail")
	if err != nil {
		return 0, err
	}
	for _, p := range a.Pools {
		if p.Name == pool {
			if q := p.Stats.Quota; q > 0 {
				return min(p.Stats.MaxAvail, max(q-p.Stats.Stored, 0)), nil
			}
			return p.Stats.MaxAvail, nil
		}
	}
	return 0, fmt.Errorf("cluster %s: pool %s: %w", c.cluster.Name, pool, ErrNoPool)
}

// cephCommand is a call of the ceph program, which has another time-out than rbd.
func (c *CLI) cephCommand(words ...string) run.Cmd {
	args := []string{"--cluster", c.cluster.Name}
	if c.cluster.Conf != "" {
		args = append(args, "--conf", c.cluster.Conf)
	}
	if c.cluster.User != "" {
		args = append(args, "--id", c.cluster.User)
	}
	args = append(args, "--connect-timeout", fmt.Sprint(int(c.times.Connect.Seconds())))
	return run.Cmd{Name: "ceph", Args: append(append(args, words...), "--format", "json"), Env: []string{"TZ=UTC"}, Pdeathsig: true}
}

func (c *CLI) cephShown(words []string) string {
	return "ceph --cluster " + c.cluster.Name + " " + strings.Join(words, " ")
}
