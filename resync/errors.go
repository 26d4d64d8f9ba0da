package resync

import "errors"

var (
	// ErrOptions: the options contradict themselves.
	ErrOptions = errors.New("options of the comparison")
	// ErrProtocol: the peer sent what cannot follow here.
	ErrProtocol = errors.New("hash exchange: protocol error")
)
