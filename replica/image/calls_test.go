package image

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCallsOfASync: each call of Ceph's programs costs a tenth of a second and more.
func TestCallsOfASync(t *testing.T) {
	w := newWorld(t)
	_, err := w.full()
	require.NoError(t, err)
	w.change()
	w.src.Calls()
	w.dst.Calls()
	_, err = w.sync()
	require.NoError(t, err)
	near, far := w.src.Calls(), w.dst.Calls()
	require.LessOrEqual(t, len(near), 13, "%q", near)
	require.LessOrEqual(t, len(far), 23, "%q", far)
}
