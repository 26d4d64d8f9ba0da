package proxy

import "errors"

// Errors that callers may look for.
var (
	ErrConfig = errors.New("proxy configuration")
	ErrBusy   = errors.New("too many requests for this array")
)

// errQueue is why a request that waited too long is told to come again.
var errQueue = errors.New("its turn did not come in time")
