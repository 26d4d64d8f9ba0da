package fake_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/arraytest"
	"github.com/ddsgo/ddsgo/array/fake"
)

// lab is a Pair with its own faults.
type lab struct{ pair *fake.Pair }

func (l lab) Open(context.Context, string) (array.Driver, error) { return fake.NewDriver(l.pair), nil }
func (l lab) SiteDown(_ context.Context, site string) error      { return l.pair.SetUp(site, false) }
func (l lab) SiteUp(_ context.Context, site string) error        { return l.pair.SetUp(site, true) }
func (l lab) LinkDown(context.Context) error                     { l.pair.SetLink(false); return nil }
func (l lab) LinkUp(context.Context) error                       { l.pair.SetLink(true); return nil }
func (l lab) Read(_ context.Context, site string) (string, error) {
	return l.pair.Read(site)
}

func (l lab) Write(_ context.Context, site string) error {
	err := l.pair.Write(site)
	if errors.Is(err, fake.ErrRejected) {
		return arraytest.ErrReadOnly
	}
	return err
}

func (l lab) Foreign(_ context.Context, verb string) error {
	for _, site := range []string{"site1", "site2"} {
		if a, err := l.pair.Show(site); err != nil || !a.Primary {
			continue
		}
		// Another operator's command may fail, as any command may.
		_ = l.pair.Command(site, map[string]string{"break": "stop", "resume": "start"}[verb], "")
	}
	return nil
}

func (l lab) LifeCycle() arraytest.LifeCycle {
	return arraytest.LifeCycle{
		Create: array.Goal{Verb: array.Create}, Before: []array.Goal{{Verb: array.Break}}, Delete: array.Goal{Verb: array.Delete}, Spare: "vol2",
	}
}

func (l lab) Sleep(ctx context.Context, d time.Duration) error { return l.pair.Sleep(ctx, d) }

func TestConformance(t *testing.T) {
	for name, o := range map[string]fake.Options{"async": {}, "sync": {Sync: true}} {
		t.Run(name, func(t *testing.T) {
			arraytest.Test(t, lab{fake.New(o)}, arraytest.Options{})
		})
	}
}

func TestPairItself(t *testing.T) {
	p := fake.New(fake.Options{})
	require.NoError(t, p.Write("site1"))
	require.ErrorIs(t, p.Write("site2"), fake.ErrRejected)
	require.NoError(t, p.Command("site1", "sync", ""))
	require.NoError(t, p.Sleep(t.Context(), time.Minute))
	one, _ := p.Read("site1")
	two, _ := p.Read("site2")
	require.Equal(t, "[1]", one)
	require.Equal(t, one, two)
	require.ErrorIs(t, p.Command("site2", "promote", ""), fake.ErrRejected)
	require.Empty(t, p.Violations())
	require.NoError(t, p.Command("site2", "promote", "-f"))
	require.Len(t, p.Violations(), 1, "the checker sees two primaries")
}
