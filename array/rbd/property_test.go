package rbd_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/ddsgo/ddsgo/array"
	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/array/rbd/fakerbd"
)

// deeds are what may happen to an image while both clusters live, in any order.
var deeds = []string{"write", "write without a flush", "update", "swap 1", "swap 2", "failback", "break", "resume", "kill a swap", "restart daemons", "setup", "disaster"}

// Whatever planned verbs follow each other, killed ones among them: the last write is on the one side
// that is primary, never are both, and an update brings the copy to it.
func TestPlannedVerbsLoseNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mode := rapid.SampledFrom([]string{rbd.ModeJournal, rbd.ModeSnapshot}).Draw(rt, "mode")
		script := rapid.SliceOfN(rapid.SampledFrom(deeds), 1, 12).Draw(rt, "script")
		kill := rapid.IntRange(1, 4).Draw(rt, "killed after step")
		var failed error
		synctest.Test(t, func(t *testing.T) { failed = enact(newBed(t, mode), script, kill) })
		if failed != nil {
			rt.Fatalf("%s %v: %v", mode, script, failed)
		}
	})
}

// enact plays one script and says what it broke.
func enact(b *bed, script []string, kill int) error {
	b.ready("first")
	last := "first"
	for n, deed := range script {
		if err := b.do(deed, fmt.Sprintf("write %d", n), kill, &last); err != nil {
			return fmt.Errorf("%d %s: %w", n, deed, err)
		}
		if err := b.one(last); err != nil {
			return fmt.Errorf("after %d %s: %w", n, deed, err)
		}
	}
	for _, verb := range []array.Verb{array.Failback, array.Resume, array.Update} {
		if _, err := b.run(array.Goal{Verb: verb}); err != nil {
			return fmt.Errorf("%s at the end: %w", verb, err)
		}
	}
	for _, c := range []string{fakerbd.Primary, fakerbd.Secondary} {
		if got := string(b.world.Content(c, pool, name)); got != last {
			return fmt.Errorf("%s holds %q at the end, not %q", c, got, last)
		}
	}
	return nil
}

// do is one deed; a verb that is refused has done nothing, and a killed swap may be anywhere.
func (b *bed) do(deed, text string, kill int, last *string) error {
	goals := map[string]array.Goal{
		"update": {Verb: array.Update}, "swap 1": {Verb: array.Swap, Site: site1}, "swap 2": {Verb: array.Swap, Site: site2},
		"failback": {Verb: array.Failback}, "break": {Verb: array.Break}, "resume": {Verb: array.Resume}, "setup": {Verb: array.Setup},
	}
	switch deed {
	case "write", "write without a flush":
		b.world.SetFlush(deed == "write")
		for _, c := range []string{fakerbd.Primary, fakerbd.Secondary} {
			if b.world.Write(c, pool, name, []byte(text)) == nil {
				*last = text
			}
		}
	case "disaster":
		return b.disaster(text, last)
	case "restart daemons":
		for _, c := range []string{fakerbd.Primary, fakerbd.Secondary} {
			b.world.SetDaemon(c, false)
			b.world.SetDaemon(c, true)
		}
	case "kill a swap":
		o := b.observe()
		to := site2
		if o.Primary() == site2 {
			to = site1
		}
		_, _ = array.Run(b.t.Context(), b.drv, array.Goal{Verb: array.Swap, Site: to}, array.Options{Resource: "img", Timeout: 10 * time.Minute,
			AfterStep: func(n int, _ array.Step) error {
				if n == kill {
					return array.ErrStopped
				}
				return nil
			}})
	default:
		s, err := b.run(goals[deed])
		if err != nil && s.Result != "refused" {
			return err
		}
	}
	return nil
}

// disaster: the primary cluster is lost, the other one takes over and is written to; then the lost one
// is back, and what it has alone is discarded.
func (b *bed) disaster(text string, last *string) error {
	lost, site := fakerbd.Primary, site2
	discard := site1
	switch b.observe().Primary() {
	case site2:
		lost, site, discard = fakerbd.Secondary, site1, site2
	case "":
		return nil // a swap was killed
	}
	survivor := map[string]string{site1: fakerbd.Primary, site2: fakerbd.Secondary}[site]
	b.world.SetDown(lost, true)
	defer b.world.SetDown(lost, false)
	if _, err := b.run(array.Goal{Verb: array.Failover, Site: site}); err != nil {
		return err
	}
	if err := b.world.Write(survivor, pool, name, []byte(text)); err != nil {
		return err
	}
	*last = text
	b.world.SetDown(lost, false)
	_, err := b.run(array.Goal{Verb: array.Failback, Discard: discard})
	return err
}

// one: at most one side is primary, and it holds the last write.
func (b *bed) one(last string) error {
	primary := 0
	for _, c := range []string{fakerbd.Primary, fakerbd.Secondary} {
		if !b.world.IsPrimary(c, pool, name) {
			continue
		}
		primary++
		if got := string(b.world.Content(c, pool, name)); got != last {
			return fmt.Errorf("primary %s holds %q, not %q", c, got, last)
		}
	}
	if primary > 1 {
		return fmt.Errorf("%d primaries", primary)
	}
	return nil
}
