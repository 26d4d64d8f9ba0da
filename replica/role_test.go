package replica

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
	"github.com/ddsgo/ddsgo/lvm"
	"github.com/ddsgo/ddsgo/state"
)

// TestSecondaryIsNoSource: a volume that is somebody's copy, by its state or, where that is lost,
// by its tags, is not sent from, whatever is allowed to be overwritten.
func TestSecondaryIsNoSource(t *testing.T) {
	for name, make := range map[string]func(w *world){
		"by its state": func(w *world) {
			e := w.start(nil)
			vol := e.near.Store.Volume(w.srcID, w.tagger())
			doc, err := vol.Load(context.Background())
			require.NoError(t, err)
			doc.Role, doc.Condition = state.RoleSecondary, state.Clean(doc.Generation)
			require.NoError(t, vol.Commit(context.Background(), doc))
		},
		"by its tags": func(w *world) {
			w.srcFiles = newMemFiles()
			w.retag(w.src, sourcePath, []string{"ddsgo.role=secondary", "ddsgo.fence=0", "ddsgo.cond=none"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := pairInSync(t)
			make(w)
			before := w.lvs(w.src, "vg0")
			for _, v := range []verb{doSync, doFull, doOverwrite} {
				_, err := w.run(w.start(nil), v)
				code, _ := failure.CodeOf(err)
				require.Equal(t, failure.CodeRefused, code, "%s: %v", v, err)
				require.ErrorContains(t, err, "secondary")
			}
			_, err := w.resync(ResyncOptions{SyncOptions: SyncOptions{Overwrite: true}})
			code, _ := failure.CodeOf(err)
			require.Equal(t, failure.CodeRefused, code)
			require.Equal(t, before, w.lvs(w.src, "vg0"), "nothing was touched")
		})
	}
}

func (w *world) tagger() lvTagger {
	l := &lvm.LVM{Runner: w.src}
	lv, err := l.Find(context.Background(), sourcePath)
	require.NoError(w.t, err)
	return lvTagger{lvm: l, lv: lv}
}

// TestFenceSurvivesALostState: a full copy or a resync that replaces a state which cannot be
// believed keeps the fence that its tags still name.
func TestFenceSurvivesALostState(t *testing.T) {
	for name, again := range map[string]func(w *world) error{
		"full --overwrite": func(w *world) error { _, err := w.run(w.start(nil), doOverwrite); return err },
		"resync":           func(w *world) error { _, err := w.resync(ResyncOptions{}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			w := pairInSync(t)
			tags := w.lvs(w.dst, "vg1")[0].Tags
			for i, tag := range tags {
				if tag == "ddsgo.fence=0" {
					tags[i] = "ddsgo.fence=7"
				}
			}
			w.retag(w.dst, targetPath, tags)
			r, err := w.probe()
			require.NoError(t, err)
			require.True(t, r.Damaged, "file and tags disagree")
			require.NoError(t, again(w))
			require.NoError(t, w.settled())
			r, err = w.probe()
			require.NoError(t, err)
			require.EqualValues(t, 7, r.Fence)
			err = w.announce(func(in *receiveRequest) { in.Fence = 6 })
			require.ErrorContains(t, err, "fence")
		})
	}
}
