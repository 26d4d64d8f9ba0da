package cli

import (
	"context"
	"slices"
	"time"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/config"
	"github.com/ddsgo/ddsgo/internal/report"
)

// localCopies lists the volumes that this host's state directory knows, for status on a
// target without configuration.
func localCopies(ctx context.Context, g *globals, s streams) ([]report.Resource, error) {
	env, err := g.environment(s, &config.Config{})
	if err != nil {
		return nil, err
	}
	h, err := newHost(env)
	if err != nil {
		return nil, err
	}
	docs, err := h.Copies()
	if err != nil {
		return nil, err
	}
	rows := []report.Resource{}
	for _, d := range docs {
		name, caps, o := h.ObserveCopy(ctx, d)
		row := array.Report(name, caps, o, caps.LocalSite, time.Now())
		// A host without configuration has one side of each, and does not miss the other.
		row.Sides = slices.DeleteFunc(row.Sides, func(s report.Side) bool { return s.Site != caps.LocalSite })
		rows = append(rows, row)
	}
	return rows, nil
}
