package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/stream"
)

// TestChooser gives the chooser a link and processors, and what codecs do, and looks where it
// ends up.
func TestChooser(t *testing.T) {
	const frame = 256 << 10
	type codecs map[stream.Codec]struct{ rate, ratio float64 }
	text := codecs{stream.S2: {0.40e9, 0.56}, stream.Zstd: {0.20e9, 0.40}}
	noise := codecs{stream.S2: {8e9, 1.0}, stream.Zstd: {6e9, 1.0}}
	for name, c := range map[string]struct {
		link    float64 // bytes per second
		cores   float64 // processors that ssh and others leave to us
		content codecs
		want    stream.Codec
	}{
		"slow link, idle machine":          {12e6, 2, text, stream.Zstd},
		"gigabit, idle machine":            {110e6, 2, text, stream.Zstd},
		"fast link, idle machine":          {2e9, 2, text, stream.None},
		"busy machine, medium link":        {500e6, 0.5, text, stream.None},
		"noise is never worth a codec":     {12e6, 2, noise, stream.S2}, // stays where it began: costs nothing
		"medium link, two idle processors": {400e6, 2, text, stream.S2},
	} {
		t.Run(name, func(t *testing.T) {
			var bytes int64
			var busy, idle time.Duration
			ch := newChooser(2, func() (int64, time.Duration) { return bytes, busy }, func() (time.Duration, bool) { return idle, true })
			for range 40 {
				var encoding time.Duration
				sent, raw := 0.0, 0.0
				for range autoWindow {
					codec := ch.current
					if codec == stream.None {
						sent += frame
					} else {
						took := time.Duration(frame / c.content[codec].rate * 1e9)
						encoding += took
						sent += frame * c.content[codec].ratio
						ch.learn(codec, frame, int(frame*c.content[codec].ratio), took)
					}
					raw += frame
				}
				for codec, p := range c.content { // the probes
					if codec != ch.current {
						ch.learn(codec, frame, int(frame*p.ratio), time.Duration(frame/p.rate*1e9))
						ch.encoding = encoding // a probe's own time is small
					}
				}
				elapsed := max(time.Duration(sent/c.link*1e9), time.Duration(float64(encoding)/c.cores))
				bytes += int64(sent)
				busy += time.Duration(sent / c.link * 1e9)
				idle += time.Duration(c.cores*float64(elapsed)) - encoding
				ch.since = time.Now().Add(-elapsed)
				ch.decide()
			}
			require.Equal(t, c.want, ch.current)
		})
	}
}

func TestProcessorsIdle(t *testing.T) {
	a, ok := processorsIdle()
	if !ok {
		t.Skip("no /proc/stat on this system")
	}
	b, _ := processorsIdle()
	require.GreaterOrEqual(t, b, a)
	require.Positive(t, a)
}
