package engine

import (
	"fmt"
	"sync"
	"time"

	"github.com/ddsgo/ddsgo/stream"
)

// Codec is the user's choice of a codec: a fixed one, or auto.
type Codec string

// The choices. The zero value is auto.
const (
	CodecAuto Codec = "auto"
	CodecNone Codec = "none"
	CodecS2   Codec = "s2"
	CodecZstd Codec = "zstd"
)

// ParseCodec reads the value of --codec.
func ParseCodec(s string) (Codec, error) {
	switch c := Codec(s); c {
	case "", CodecAuto:
		return CodecAuto, nil
	case CodecNone, CodecS2, CodecZstd:
		return c, nil
	}
	return "", fmt.Errorf("codec %q: want auto, none, s2 or zstd", s)
}

// fixed is the codec of a choice that is not auto.
func (c Codec) fixed() (stream.Codec, bool) {
	switch c {
	case CodecNone:
		return stream.None, true
	case CodecS2:
		return stream.S2, true
	case CodecZstd:
		return stream.Zstd, true
	}
	return stream.None, false
}

// Parameters of the automatic choice.
const (
	autoWindow   = 32   // frames between two decisions
	autoProbe    = 16   // every so many frames, another codec is tried
	autoMargin   = 1.15 // another codec must promise this much more to be taken
	autoFastLink = 4e9  // bytes per second: a link that never made us wait
	autoBlocked  = 0.05 // share of the time in Write below which the link counts as free
)

// chooser picks the codec of each frame. Throughput of a codec is the smaller of what the
// workers can encode and what the link can carry of the encoded: rate*workers and
// link/ratio. The link's speed is learnt from how long writes take, the codecs' from frames
// that they encoded; now and then a frame goes to a codec that is not the current one.
type chooser struct {
	workers float64
	moved   func() (bytes int64, busy time.Duration) // of the link, since the start

	mu      sync.Mutex
	current stream.Codec
	frames  int
	known   [3]sample
	since   time.Time
	bytes   int64
	busy    time.Duration
}

// sample is what is known of a codec on this content: sums that fade.
type sample struct {
	raw, encoded, seconds float64
}

func newChooser(workers int, moved func() (int64, time.Duration)) *chooser {
	return &chooser{workers: float64(workers), moved: moved, current: stream.S2, since: time.Now()}
}

// pick returns the codec for the next frame.
func (c *chooser) pick() stream.Codec {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames++
	if c.frames%autoWindow == 0 {
		c.decide()
	}
	if c.frames%autoProbe != autoProbe-1 {
		return c.current
	}
	even := c.frames/autoProbe%2 == 0
	if c.current == stream.Zstd || (c.current == stream.None && even) {
		return stream.S2
	}
	return stream.Zstd
}

// learn records how one frame was encoded.
func (c *chooser) learn(codec stream.Codec, raw, encoded int, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.known[codec]
	const fade = 0.9
	s.raw = s.raw*fade + float64(raw)
	s.encoded = s.encoded*fade + float64(encoded)
	s.seconds = s.seconds*fade + took.Seconds()
}

// decide compares what each codec promises at the present speed of the link.
func (c *chooser) decide() {
	link := c.link()
	best, promise := c.current, c.promise(c.current, link)*autoMargin
	for _, codec := range []stream.Codec{stream.None, stream.S2, stream.Zstd} {
		if p := c.promise(codec, link); p > promise {
			best, promise = codec, p
		}
	}
	c.current = best
}

// link is the speed of the link in bytes per second since the last decision.
func (c *chooser) link() float64 {
	bytes, busy := c.moved()
	now := time.Now()
	dBytes, dBusy, elapsed := float64(bytes-c.bytes), (busy - c.busy).Seconds(), now.Sub(c.since).Seconds()
	c.bytes, c.busy, c.since = bytes, busy, now
	if dBytes == 0 || dBusy < autoBlocked*elapsed {
		return autoFastLink
	}
	return dBytes / dBusy
}

// promise is the throughput in raw bytes per second that a codec would give; 0 = unknown.
func (c *chooser) promise(codec stream.Codec, link float64) float64 {
	if codec == stream.None {
		return link
	}
	s := c.known[codec]
	if s.raw == 0 || s.seconds == 0 || s.encoded == 0 {
		return 0
	}
	return min(c.workers*s.raw/s.seconds, link*s.raw/s.encoded)
}
