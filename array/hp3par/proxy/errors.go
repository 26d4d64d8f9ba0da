package proxy

import "errors"

// Errors that callers may look for.
var (
	ErrConfig = errors.New("proxy configuration")
	ErrBusy   = errors.New("too many requests for this array")
)
