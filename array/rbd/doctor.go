package rbd

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Finding is one thing that is wrong, or may become so, with the command that helps.
type Finding struct {
	Site string `json:"site"`
	Text string `json:"text"`
	Next string `json:"next"`
}

// Diagnose looks beyond the image: pools, peers and daemons, for each direction by itself. It changes
// nothing.
func (d *Driver) Diagnose(ctx context.Context) ([]Finding, error) {
	var out []Finding
	var health [2]PoolHealth
	var known [2]bool
	for i := range d.cfg.Sites {
		h, findings := d.diagnoseSide(ctx, i)
		out = append(out, findings...)
		if h != nil {
			health[i], known[i] = *h, true
		}
	}
	for i, s := range d.cfg.Sites {
		if known[i] && len(health[i].Daemons) == 0 {
			out = append(out, d.noDaemon(i, known[1-i] && len(health[1-i].Daemons) > 1))
		}
		for _, dm := range health[i].Daemons {
			if dm.Health != "OK" && dm.Health != "" {
				out = append(out, Finding{s.Name, fmt.Sprintf("rbd-mirror %s on %s says %s: %s", dm.ClientID, dm.Hostname, dm.Health, strings.Join(dm.Callouts, "; ")),
					"rbd --cluster " + s.Cluster.Name + " mirror pool status " + d.cfg.Image.Pool + " --verbose"})
			}
		}
	}
	o, err := d.Observe(ctx)
	if err != nil {
		return out, err
	}
	for _, r := range o.Reasons {
		out = append(out, Finding{Text: r.Text, Next: r.Next})
	}
	return out, nil
}

// noDaemon: nothing pulls to this side. Two daemons on the other cluster are the usual mistake: the
// same --cluster was given to both.
func (d *Driver) noDaemon(i int, twoThere bool) Finding {
	here, there := d.cfg.Sites[i], d.cfg.Sites[1-i]
	f := Finding{here.Name, fmt.Sprintf("no rbd-mirror works for cluster %s: nothing flows from %s to %s", here.Cluster.Name, there.Name, here.Name),
		"rbd-mirror --cluster " + here.Cluster.Name}
	if twoThere {
		f.Text += fmt.Sprintf("; cluster %s has two: was --cluster %s given to both?", there.Cluster.Name, there.Cluster.Name)
	}
	return f
}

// diagnoseSide asks one cluster about its pool.
func (d *Driver) diagnoseSide(ctx context.Context, i int) (*PoolHealth, []Finding) {
	s, pool := d.cfg.Sites[i], d.cfg.Image.Pool
	info, err := d.cli[i].PoolInfo(ctx, pool)
	if err != nil {
		return nil, []Finding{{s.Name, err.Error(), nextFor(kindName(err), s.Cluster)}}
	}
	var out []Finding
	add := func(next, format string, args ...any) {
		out = append(out, Finding{s.Name, fmt.Sprintf(format, args...), next})
	}
	setup := "ddsgo array setup " + d.cfg.Name
	if info.Mode != "image" {
		add(setup, "pool %s is in mode %s, not image", pool, info.Mode)
		if info.Mode == "disabled" {
			return nil, out
		}
	}
	rx, ok := info.RX()
	switch {
	case !ok:
		add(setup, "pool %s of cluster %s has no peer to receive from: nothing flows from %s to %s", pool, s.Cluster.Name, d.cfg.Sites[1-i].Name, s.Name)
	case rx.MirrorUUID == "":
		add("rbd-mirror --cluster "+s.Cluster.Name, "peer %s (%s) has never been met by the rbd-mirror of cluster %s", rx.UUID, rx.SiteName, s.Cluster.Name)
	case !strings.Contains(rx.Direction, "tx"):
		add(setup, "peer %s is %s: the way back is missing", rx.UUID, rx.Direction)
	}
	h, err := d.cli[i].PoolStatus(ctx, pool)
	if err != nil {
		if !errors.Is(err, ErrNotMirrored) {
			add("", "%v", err)
		}
		return nil, out
	}
	return &h, out
}
