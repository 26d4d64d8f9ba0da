package delta

import "errors"

var (
	// ErrStream: what rbd export-diff wrote is not a diff stream, is cut, or disagrees with rbd diff.
	ErrStream = errors.New("export-diff stream")
	// ErrOrder: the two snapshots are not an older and a newer one of one image.
	ErrOrder = errors.New("snapshots are in the wrong order")
	// ErrTarget: the image must not be written now; the text says why.
	ErrTarget = errors.New("image cannot be a target")
	// ErrBase: the image has not the snapshot that the delta builds on.
	ErrBase = errors.New("image lacks the base")
)
