package image

import (
	"errors"

	"github.com/ddsgo/ddsgo/array/rbd"
	"github.com/ddsgo/ddsgo/array/rbd/delta"
	"github.com/ddsgo/ddsgo/internal/failure"
)

var (
	// ErrMetadata: what an image's metadata says about replication cannot be believed.
	ErrMetadata = errors.New("the image's replication metadata cannot be believed")
	// ErrNoMetadata: the image says nothing about this replication.
	ErrNoMetadata = errors.New("no replication metadata")
)

// Explain gives errors of Ceph their exit codes and next commands. Errors that have one pass.
func Explain(e End, err error) error {
	var f *failure.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	img := e.Image.String()
	for _, k := range []struct {
		is     error
		code   int
		reason string
		next   string
	}{
		{rbd.ErrUnreachable, failure.CodeUnreachable, "the cluster does not answer", "ceph status"},
		{rbd.ErrTimeout, failure.CodeUnreachable, "the cluster took too long", "ceph status"},
		{rbd.ErrNoCluster, failure.CodeUsage, "no such cluster", "ls /etc/ceph/*.conf; check cluster and conf"},
		{rbd.ErrNoPermission, failure.CodeRefused, "no permission", "another user for the cluster"},
		{rbd.ErrNoTool, failure.CodeFailure, "Ceph's programs are missing", "apt-get install ceph-common"},
		{rbd.ErrNoPool, failure.CodeRefused, "no such pool", "ceph osd pool ls"},
		{rbd.ErrNoSnapshot, failure.CodeRefused, "no such snapshot", "rbd snap ls " + img},
		{rbd.ErrNoImage, failure.CodeRefused, "no such image", "rbd ls " + e.Image.Pool},
		{rbd.ErrNoSpace, failure.CodeRefused, "the pool is full", "ceph df"},
		{rbd.ErrReadOnly, failure.CodeRefused, "the image is read-only here: the non-primary side of a mirror", "rbd info " + img},
		{delta.ErrOrder, failure.CodeUsage, "wrong snapshots", "rbd snap ls " + img},
		{delta.ErrBase, failure.CodeRefused, "it does not hold what the delta builds on", "rbd snap ls " + img},
		{delta.ErrTarget, failure.CodeRefused, "refused before the first byte", ""},
		{rbd.ErrCorrupt, failure.CodeCorrupt, "rbd import-diff found the stream damaged", ""},
	} {
		if errors.Is(err, k.is) {
			return failure.With(k.code, e.String(), k.reason, k.next, err)
		}
	}
	return err
}
