package control

import "errors"

var (
	// ErrNotFound: the array, volume or fault named in a request does not exist (404).
	ErrNotFound = errors.New("not found")
	// ErrForbidden: role or state forbid the access (409).
	ErrForbidden = errors.New("refused by role or state")
	// ErrBadRequest: the request makes no sense (400).
	ErrBadRequest = errors.New("bad request")
)
