package proxy

import (
	"net"
	"sync"
)

// maxClients bounds the connections that are open at once.
const maxClients = 1024

// Limit refuses connections beyond a number that no honest network of servers needs, so
// that one host cannot use up the proxy's descriptors.
func Limit(l net.Listener) net.Listener {
	return &limited{Listener: l, slots: make(chan struct{}, maxClients)}
}

type limited struct {
	net.Listener
	slots chan struct{}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &counted{Conn: c, slots: l.slots}, nil
		default:
			_ = c.Close() // refused; nothing was written
		}
	}
}

type counted struct {
	net.Conn
	slots chan struct{}
	once  sync.Once
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.once.Do(func() { <-c.slots })
	return c.Conn.Close()
}
