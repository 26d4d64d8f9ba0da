package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/arraytest"
	"github.com/ddsgo/ddsgo/array/rbd/fakeimage"
	"github.com/ddsgo/ddsgo/replica"
	"github.com/ddsgo/ddsgo/transport"
)

// legLab is a leg between two clusters under the conformance suite.
type legLab struct {
	t     *testing.T
	w     *world
	turns int
	made  int
	mu    sync.Mutex
	cut   bool
}

var _ arraytest.Remaker = (*legLab)(nil)

// Remake implements arraytest.Remaker.
func (l *legLab) Remake(ctx context.Context) error {
	l.w = newWorld(l.t)
	l.made++
	_, err := l.w.leg().Full(ctx, false, false)
	return err
}

// Open gives the same driver on either site: the state is in the images.
func (l *legLab) Open(context.Context, string) (array.Driver, error) {
	leg := l.w.leg()
	dial := leg.Dial
	leg.Dial = func(ctx context.Context, t transport.Target) (replica.Connection, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.cut {
			return nil, &os.PathError{Op: "reach", Path: "the target", Err: syscall.EHOSTDOWN}
		}
		return dial(ctx, t)
	}
	return &Driver{Leg: leg}, nil
}

func (l *legLab) side(site string) (*fakeimage.World, string) {
	if site == replica.SiteSource {
		return l.w.src, srcImage
	}
	return l.w.dst, dstImage
}

func (l *legLab) SiteDown(_ context.Context, site string) error { return l.down(site, true) }
func (l *legLab) SiteUp(_ context.Context, site string) error   { return l.down(site, false) }

func (l *legLab) down(site string, down bool) error {
	w, _ := l.side(site)
	w.SetDown(down)
	return nil
}

func (l *legLab) LinkDown(context.Context) error { return l.link(true) }
func (l *legLab) LinkUp(context.Context) error   { return l.link(false) }

func (l *legLab) link(cut bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	return nil
}

func (l *legLab) Read(_ context.Context, site string) (string, error) {
	w, img := l.side(site)
	sum := sha256.Sum256(w.Content(img, ""))
	return hex.EncodeToString(sum[:]), nil
}

// Write writes as an application does: to the source, and to HEAD of a copy that was promoted. Ceph
// itself would let it write to any HEAD; that is found and refused, see
// TestRefusedBeforeTheFirstByte.
func (l *legLab) Write(ctx context.Context, site string) error {
	if site != replica.SiteSource {
		r, err := l.w.target().Inspect(ctx)
		if err != nil {
			return err
		}
		if r.Role != "primary" {
			return arraytest.ErrReadOnly
		}
	}
	w, img := l.side(site)
	l.turns++
	w.Write(img, l.turns%blocks, byte(1+l.turns%250))
	return nil
}

func (l *legLab) Foreign(ctx context.Context, verb string) error {
	d, err := l.Open(ctx, "")
	if err == nil {
		_, _ = array.Run(ctx, d, array.Goal{Verb: array.Verb(verb)}, array.Options{Resource: "data", Sleep: l.Sleep}) // may fail, as any may
	}
	return err
}

func (l *legLab) Sleep(ctx context.Context, _ time.Duration) error { return context.Cause(ctx) }

// TestConformance runs the suite that every driver passes.
func TestConformance(t *testing.T) {
	l := &legLab{t: t}
	require.NoError(t, l.Remake(t.Context()))
	rep, err := arraytest.Run(t.Context(), l, arraytest.Options{Quick: os.Getenv("DDSGO_FULL") == "", MaxFailures: 5})
	require.NoError(t, err)
	why := map[string]int{}
	for _, c := range rep.Results {
		switch c.Outcome {
		case arraytest.Failed:
			t.Errorf("%s: %s", c.Case, c.Detail)
		case arraytest.LeftOut:
			why[c.Detail]++
		}
	}
	for text, n := range why {
		t.Logf("left out, %d cases: %s", n, text)
	}
	require.NotZero(t, rep.Count(arraytest.Passed))
	t.Logf("%d cases passed, %d left out; %d verbs, %d resources made", rep.Count(arraytest.Passed), rep.Count(arraytest.LeftOut), rep.Verbs, l.made)
}
