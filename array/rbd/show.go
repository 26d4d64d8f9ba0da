package rbd

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/ddsgo/ddsgo/array"
)

// Shown is what `array show` prints for one site: the answers of Ceph, as they are.
type Shown struct {
	Site    string          `json:"site"`
	Cluster string          `json:"cluster"`
	Error   string          `json:"error,omitempty"`
	Pool    *PoolMirror     `json:"pool_mirroring,omitempty"` // mode, peers with UUID and direction
	Image   *Info           `json:"image,omitempty"`          // features, journal id, mirroring
	Status  *Status         `json:"reported,omitempty"`       // by the daemons; up to 30 s old
	Locks   []Lock          `json:"locks"`
	Watch   []string        `json:"watchers"`
	Snaps   []Snapshot      `json:"snapshots"`
	Plans   []Schedule      `json:"schedules"`
	Journal []JournalClient `json:"journal_clients"`
}

var _ array.Shower = (*Driver)(nil)

// Show implements array.Shower. A cluster that cannot be read is told beside the other one; only when
// neither can, that is an error.
func (d *Driver) Show(ctx context.Context) (any, error) {
	var out [2]Shown
	var errs [2]error
	var g errgroup.Group
	for i, s := range d.cfg.Sites {
		out[i] = Shown{Site: s.Name, Cluster: s.Cluster.Name}
		g.Go(func() error {
			if errs[i] = d.showSide(ctx, i, &out[i]); errs[i] != nil {
				out[i].Error = errs[i].Error()
			}
			return nil
		})
	}
	_ = g.Wait()
	if errs[0] != nil && errs[1] != nil {
		return nil, array.Unreachable(d.cfg.Sites[0].Name, errors.Join(errs[0], errs[1]))
	}
	return out, nil
}

func (d *Driver) showSide(ctx context.Context, i int, s *Shown) error {
	c, img := d.cli[i], d.cfg.Image
	pool, err := c.PoolInfo(ctx, img.Pool)
	if err != nil {
		return err
	}
	s.Pool = &pool
	info, err := c.Info(ctx, img)
	if err != nil {
		return err
	}
	s.Image = &info
	if s.Locks, err = c.Locks(ctx, img); err != nil {
		return err
	}
	if s.Watch, err = c.Watchers(ctx, img); err != nil {
		return err
	}
	if s.Snaps, err = c.Snapshots(ctx, img); err != nil {
		return err
	}
	if info.Has("journaling") {
		j, err := c.Journal(ctx, img)
		if err != nil {
			return err
		}
		s.Journal = j.Clients
	}
	if !info.Mirrored() {
		return nil
	}
	st, err := c.ImageStatus(ctx, img)
	if err != nil {
		return err
	}
	s.Status = &st
	if info.Mirroring.Mode == ModeSnapshot {
		s.Plans, _, err = c.Schedules(ctx, img)
	}
	return err
}
