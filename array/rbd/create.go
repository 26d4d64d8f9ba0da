package rbd

import (
	"strings"

	"github.com/ddsgo/ddsgo/array"
)

// create makes the image, or a clone, and sets it up.
func (pl *planner) create() error {
	if err := pl.bothRead(); err != nil {
		return err
	}
	if err := pl.pools(); err != nil {
		return err
	}
	prim := pl.p.prim
	if prim < 0 {
		prim = pl.chosenPrimary()
	}
	f := pl.p.facts[prim]
	if !f.Exists {
		return pl.make(prim)
	}
	if _, ours := f.Meta[metaCreated]; !ours && !f.Mirrored {
		return array.Refuse("", "ddsgo array setup "+pl.d.cfg.Name, "%s has an image %s already; setup mirrors it as it is", pl.name(prim), pl.d.cfg.Image)
	}
	if err := pl.image(prim); err != nil {
		return err
	}
	pl.finish(prim)
	return nil
}

// unfinished is the name of an image until it is whole and noted as made here: a create that is killed
// leaves nothing under the name that somebody else's image could have, and begins afresh.
func (pl *planner) unfinished() Image {
	return Image{Pool: pl.d.cfg.Image.Pool, Name: pl.d.cfg.Image.Name + ".ddsgo-new"}
}

// make is the first half of create.
func (pl *planner) make(prim int) error {
	img := pl.d.cfg.Image.String()
	if other := pl.p.facts[1-prim]; other.Exists {
		return array.Refuse("", "ddsgo status "+pl.d.cfg.Name, "%s has an image %s, %s has none", pl.name(1-prim), img, pl.name(prim))
	}
	first, err := pl.makeStep(prim)
	if err != nil {
		return err
	}
	fresh := pl.unfinished().String()
	todo := []array.Step{first, pl.d.step(prim, stepCreatedNote, "note that ddsgo made the image", "image-meta", "set", fresh, metaCreated, "yes")}
	if pl.g.Params[ParamCloneOf] != "" && pl.g.Params[ParamFlatten] == "yes" {
		todo = append(todo, pl.d.step(prim, stepFlatten, "copy what the clone shares with its parent", "flatten", "--no-progress", fresh))
	}
	for _, s := range todo {
		if len(pl.Steps) > 0 || !pl.g.DidOK(s.ID) {
			pl.add(s)
		}
	}
	pl.add(pl.d.step(prim, stepName, "give the image its name", "rename", fresh, img),
		pl.d.step(prim, stepEnable, "mirror the image", "mirror", "image", "enable", img, pl.d.cfg.Mode))
	return nil
}

// makeStep creates the image, or the clone.
func (pl *planner) makeStep(prim int) (array.Step, error) {
	size, parent, fresh := pl.g.Params[ParamSize], pl.g.Params[ParamCloneOf], pl.unfinished().String()
	switch {
	case parent == "" && size == "":
		return array.Step{}, array.Refuse("", "ddsgo array create "+pl.d.cfg.Name+" --size SIZE", "create needs the size of the image, or --clone-of POOL/IMAGE@SNAP")
	case parent != "" && size != "":
		return array.Step{}, array.Refuse("", "", "a clone has the size of its parent: --size and --clone-of exclude each other")
	case parent == "":
		args := []string{"create", fresh, "--size", size}
		if f := setupFeatures(pl.d.cfg.Mode); f != nil {
			args = append(args, "--image-feature", "layering,object-map,fast-diff,deep-flatten,"+strings.Join(f, ","))
		}
		return pl.d.step(prim, stepCreate, "create the image", args...), nil
	}
	if _, _, err := ParseSnapshot(parent); err != nil {
		return array.Step{}, &array.Error{Kind: array.KindConfig, Reason: "--clone-of", Err: err}
	}
	if pl.d.cfg.Mode == ModeSnapshot && pl.g.Params[ParamFlatten] != "yes" {
		return array.Step{}, array.Refuse("", "ddsgo array create "+pl.d.cfg.Name+" --clone-of "+parent+" --flatten", "a clone in snapshot mode: %s", cloneTrap)
	}
	// Do refuses here when the parent is not mirrored to the same peer: that takes a question to the cluster.
	s := pl.d.step(prim, stepClone, "clone "+parent, "clone", parent, fresh)
	s.Args[ParamFlatten] = pl.g.Params[ParamFlatten]
	s.Args[ParamCloneOf] = parent
	return s, nil
}

// cloneTrap: the first write to an object of a clone copies the parent's data into it and into the clone's
// older snapshots; the difference of two mirror snapshots then lacks them, and so does the copy. Seen on
// 16.2.15; https://tracker.ceph.com/issues/61891.
const cloneTrap = "mirroring by snapshots loses the parent's data in every object that is written for the first time (Ceph issue 61891), and the copy is wrong"

// cloneWarning is for a clone that somebody mirrors by snapshots.
func (pl *planner) cloneWarning() {
	for _, f := range pl.p.facts {
		if f.Mirrored && f.Mode == ModeSnapshot && f.ParentImage != "" {
			pl.warn("%s is a clone of %s: %s", pl.d.cfg.Image, f.ParentImage, cloneTrap)
			return
		}
	}
}
