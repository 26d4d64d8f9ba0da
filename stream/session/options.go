package session

import (
	"fmt"
	"log/slog"
	"time"
)

// Defaults and limits of Options.
const (
	DefaultHeartbeat       = 2 * time.Second
	MaxHeartbeat           = 5 * time.Second
	DefaultProgressTimeout = 60 * time.Second
	DefaultHandshake       = 60 * time.Second
)

// Options of a session. The zero value is the default.
type Options struct {
	Version      string        // of the program, for people
	Host         string        // name of this end, for people
	Capabilities []string      // what this end can do; words of [a-z0-9-]
	Heartbeat    time.Duration // a silent side says something this often; at most 5 s
	// ProgressTimeout ends the session when nothing at all came from the peer for so long.
	ProgressTimeout time.Duration
	Handshake       time.Duration // until the peer's banner must have come
	Log             *slog.Logger  // nil: none
}

// complete fills in defaults and refuses what makes no sense.
func (o Options) complete() (Options, error) {
	if o.Heartbeat == 0 {
		o.Heartbeat = DefaultHeartbeat
	}
	if o.ProgressTimeout == 0 {
		o.ProgressTimeout = DefaultProgressTimeout
	}
	if o.Handshake == 0 {
		o.Handshake = DefaultHandshake
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Heartbeat < 0 || o.Heartbeat > MaxHeartbeat {
		return o, fmt.Errorf("heartbeat %v, want more than 0 and at most %v", o.Heartbeat, MaxHeartbeat)
	}
	// The peer may use MaxHeartbeat whatever our own interval is.
	if o.ProgressTimeout <= MaxHeartbeat {
		return o, fmt.Errorf("progress time-out %v, want more than %v", o.ProgressTimeout, MaxHeartbeat)
	}
	return o, nil
}
