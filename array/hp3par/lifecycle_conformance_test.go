package hp3par_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/arraytest"
	"github.com/ddsgo/ddsgo/array/hp3par"
)

// lifeLab is a lab whose group is deleted and made anew: both volumes stay, and home's content is
// copied over the other one.
type lifeLab struct{ lab }

func (l lifeLab) Open(context.Context, string) (array.Driver, error) {
	l.arrays[0].Forget()
	l.arrays[1].Forget()
	c := l.config()
	for i := range c.Sites {
		c.Sites[i].CPG, c.Sites[i].SnapCPG = "CPG1", "SNAPCPG1"
	}
	return hp3par.New(c)
}

func (l lifeLab) LifeCycle() arraytest.LifeCycle {
	return arraytest.LifeCycle{
		Create: array.Goal{Verb: array.Create, Volume: volume, Discard: "site2"},
		Delete: array.Goal{Verb: array.Delete},
	}
}

// Create and delete, killed, deprived of replies and disturbed at every step, and every other verb
// where there is no group.
func TestConformanceOfTheLifeCycle(t *testing.T) {
	for _, mode := range []string{"async", "sync"} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t, mode, nil)
			arraytest.Test(t, lifeLab{lab{b}}, arraytest.Options{
				Quick: os.Getenv("DDSGO_FULL") == "",
				Pick: func(name string) bool {
					return strings.Contains(name, "array create") || strings.Contains(name, "array delete") || strings.HasPrefix(name, "absent")
				},
			})
		})
	}
}
