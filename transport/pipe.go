package transport

import (
	"io"
	"net"
)

// Pipe is an in-process connection, unbuffered.
func Pipe() (client, server io.ReadWriteCloser) { return net.Pipe() }
