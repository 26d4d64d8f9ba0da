package control

import (
	"fmt"
	"net"
	"strconv"
	"sync"
)

// Listener is a TCP listener that can go dead without giving up its port: while
// down, every connection is reset on arrival, and those in progress are cut at
// the moment of SetDown(true). A client sees what it would see of an array whose
// management address does not answer, only faster.
type Listener struct {
	net.Listener

	mu    sync.Mutex
	down  bool
	conns map[net.Conn]struct{}
}

// Listen opens host:(base+offset), or an ephemeral port when base is 0.
func Listen(host string, base, offset int) (*Listener, error) {
	port := 0
	if base != 0 {
		port = base + offset
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return &Listener{Listener: l, conns: make(map[net.Conn]struct{})}, nil
}

// Accept returns the next connection that arrives while the listener is up.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		down := l.down
		if !down {
			l.conns[c] = struct{}{}
		}
		l.mu.Unlock()
		if down {
			reset(c)
			continue
		}
		return &trackedConn{Conn: c, owner: l}, nil
	}
}

// SetDown makes the listener dead or alive.
func (l *Listener) SetDown(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	if down {
		l.cut()
	}
}

// CloseAll closes the listener and every connection it accepted.
func (l *Listener) CloseAll() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut()
	return l.Listener.Close()
}

func (l *Listener) cut() {
	for c := range l.conns {
		reset(c)
	}
	clear(l.conns)
}

// reset closes c so that the peer sees a reset, not an orderly end.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

type trackedConn struct {
	net.Conn
	owner *Listener
}

func (c *trackedConn) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.conns, c.Conn)
	c.owner.mu.Unlock()
	return c.Conn.Close()
}
