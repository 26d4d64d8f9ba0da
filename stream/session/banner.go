package session

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// Peer is what the other end said in its banner.
type Peer struct {
	Protocol     int
	Version      string
	Host         string
	Capabilities []string
	Noise        string // what came before the banner: a message of the day, a shell's complaint
}

// Has says whether the peer announced a capability.
func (p Peer) Has(capability string) bool { return slices.Contains(p.Capabilities, capability) }

// bannerStart begins a banner; the protocol version follows.
const bannerStart = "ddsgo-session/"

// banner is the line that this end sends.
func (o Options) banner() (string, error) {
	for _, c := range o.Capabilities {
		if c == "" || strings.Trim(c, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return "", fmt.Errorf("capability %q: only a-z, 0-9 and '-'", c)
		}
	}
	line := fmt.Sprintf("%s%d version=%s host=%s capabilities=%s\n", bannerStart, Protocol,
		word(o.Version), word(o.Host), strings.Join(o.Capabilities, ","))
	if len(line) > MaxBanner {
		return "", fmt.Errorf("banner of %d bytes, the limit is %d", len(line), MaxBanner)
	}
	return line, nil
}

// word makes s a value of a banner.
func word(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, s)
	if len(s) > 200 {
		s = s[:200]
	}
	return s
}

// parseBanner decodes the line from bannerStart on, without its end.
func parseBanner(line string) (Peer, error) {
	fields := strings.Fields(strings.TrimPrefix(line, bannerStart))
	if !strings.HasPrefix(line, bannerStart) || len(fields) == 0 || strings.HasPrefix(line, bannerStart+" ") {
		return Peer{}, protocolError("banner %.80q", line)
	}
	n, err := strconv.ParseUint(fields[0], 10, 16)
	if err != nil {
		return Peer{}, protocolError("protocol version %.20q", fields[0])
	}
	p := Peer{Protocol: int(n)}
	for _, f := range fields[1:] {
		key, value, _ := strings.Cut(f, "=")
		value = Printable(value)
		switch key {
		case "version":
			p.Version = value
		case "host":
			p.Host = value
		case "capabilities":
			if value != "" {
				p.Capabilities = strings.Split(value, ",")
			}
		}
	}
	return p, nil
}

// readBanner reads the peer's banner after at most maxNoise other bytes. It takes
// nothing behind the line out of r.
func readBanner(r *bufio.Reader, maxNoise int) (Peer, error) {
	var noise []byte
	for {
		line, err := r.ReadSlice('\n')
		if i := bytes.Index(line, []byte(bannerStart)); i >= 0 && err == nil {
			noise = append(noise, line[:i]...)
			if len(noise) > maxNoise || len(line)-i > MaxBanner {
				return Peer{}, noBanner(noise, protocolError("%d bytes before a banner of %d", len(noise), len(line)-i))
			}
			p, err := parseBanner(strings.TrimRight(string(line[i:]), "\r\n"))
			p.Noise = Printable(string(noise))
			return p, err
		}
		noise = append(noise, line...)
		if len(noise) > maxNoise {
			return Peer{}, noBanner(noise, fmt.Errorf("more than %d bytes without a banner", maxNoise))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				err = ErrPeerGone
			}
			return Peer{}, noBanner(noise, err)
		}
	}
}

// noBanner is ErrNoBanner with what was said instead.
func noBanner(noise []byte, cause error) error {
	said := strings.TrimSpace(Printable(string(noise)))
	if len(said) > 500 {
		said = said[:500] + "..."
	}
	if said == "" {
		return fmt.Errorf("%w: %w", ErrNoBanner, cause)
	}
	return fmt.Errorf("%w: %w; it said: %q", ErrNoBanner, cause, said)
}

// checkVersion refuses a peer that we would misunderstand.
func checkVersion(p Peer) error {
	if p.Protocol == Protocol {
		return nil
	}
	who := p.Host
	if who == "" {
		who = "the other side"
	}
	return failure.With(failure.CodeCorrupt, who,
		fmt.Sprintf("it speaks session protocol %d (ddsgo %s), this side %d", p.Protocol, p.Version, Protocol),
		"install the same ddsgo version on both machines", ErrVersion)
}

// handshake runs f, which blocks on rw, until ctx or the time-out ends it. rw is
// closed if f fails; a reader that cannot be interrupted is left behind.
func handshake(ctx context.Context, rw io.Closer, limit time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w: no banner within %v", ErrPeerSilent, limit))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		if err != nil {
			go rw.Close()
		}
		return asFailure(err)
	case <-ctx.Done():
		go rw.Close()
		return asFailure(context.Cause(ctx))
	}
}
