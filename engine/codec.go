package engine

import (
	"fmt"
	"os"
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
	autoWindow   = 32                    // frames between two decisions, at least
	autoPeriod   = 50 * time.Millisecond // and time
	autoProbe    = 16                    // every so many frames, another codec is tried
	autoMargin   = 1.15                  // another codec must promise this much more to be taken
	autoFastLink = 4e9                   // bytes per second: a link that never made us wait
	autoBlocked  = 0.05                  // share of the time in Write below which the link counts as free
)

// chooser picks the codec of each frame. The throughput that a codec promises is the smaller
// of what the processors can encode and what the link can carry of the encoded. The link's
// speed is learnt from how long writes take, a codec's from the frames that it encoded (now
// and then a frame goes to one that is not the current one), and the processors at hand are
// those that encode now and those that idle: where ssh and the other end keep this machine
// busy, a codec that costs more than it saves is not taken.
type chooser struct {
	workers float64
	moved   func() (bytes int64, busy time.Duration) // of the link, since the start
	idle    func() (time.Duration, bool)             // of all processors, since some start

	mu       sync.Mutex
	current  stream.Codec
	frames   int
	known    [3]sample
	since    time.Time
	bytes    int64
	busy     time.Duration
	idled    time.Duration
	encoding time.Duration // since the last decision
}

// sample is what is known of a codec on this content: sums that fade.
type sample struct {
	raw, encoded, seconds float64
}

func newChooser(workers int, moved func() (int64, time.Duration), idle func() (time.Duration, bool)) *chooser {
	c := &chooser{workers: float64(workers), moved: moved, idle: idle, current: stream.S2, since: time.Now()}
	c.idled, _ = idle()
	return c
}

// pick returns the codec for the next frame.
func (c *chooser) pick() stream.Codec {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames++
	if c.frames%autoWindow == 0 && time.Since(c.since) > autoPeriod {
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
	c.encoding += took
}

// decide compares what each codec promises now.
func (c *chooser) decide() {
	link, cores := c.measure(time.Now())
	best, promise := c.current, c.promise(c.current, link, cores)*autoMargin
	for _, codec := range []stream.Codec{stream.None, stream.S2, stream.Zstd} {
		if p := c.promise(codec, link, cores); p > promise {
			best, promise = codec, p
		}
	}
	c.current = best
}

// measure gives the speed of the link in bytes per second and the processors that can encode,
// both since the last decision.
func (c *chooser) measure(now time.Time) (link, cores float64) {
	bytes, busy := c.moved()
	idled, known := c.idle()
	elapsed := now.Sub(c.since).Seconds()
	dBytes, dBusy := float64(bytes-c.bytes), (busy - c.busy).Seconds()
	link, cores = autoFastLink, c.workers
	if dBytes > 0 && dBusy >= autoBlocked*elapsed {
		link = dBytes / dBusy
	}
	if known && elapsed > 0 {
		cores = min(c.workers, ((idled-c.idled)+c.encoding).Seconds()/elapsed)
	}
	c.bytes, c.busy, c.idled, c.since, c.encoding = bytes, busy, idled, now, 0
	return link, cores
}

// promise is the throughput in raw bytes per second that a codec would give; 0 = unknown.
func (c *chooser) promise(codec stream.Codec, link, cores float64) float64 {
	if codec == stream.None {
		return link
	}
	s := c.known[codec]
	if s.raw == 0 || s.seconds == 0 || s.encoded == 0 {
		return 0
	}
	return min(cores*s.raw/s.seconds, link*s.raw/s.encoded)
}

// clockTick is the unit of /proc/stat: USER_HZ, 100 on every platform that Go runs on.
const clockTick = 10 * time.Millisecond

// processorsIdle is the time that all processors of this machine idled since it started.
func processorsIdle() (time.Duration, bool) {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	var line [256]byte
	n, err := f.Read(line[:])
	if err != nil {
		return 0, false
	}
	var user, nice, system, idle, iowait int64
	if _, err := fmt.Sscanf(string(line[:n]), "cpu %d %d %d %d %d", &user, &nice, &system, &idle, &iowait); err != nil {
		return 0, false
	}
	return time.Duration(idle+iowait) * clockTick, true
}
