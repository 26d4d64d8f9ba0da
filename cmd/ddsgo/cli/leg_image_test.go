package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
)

// TestVerbsThatImagesDoNotKnow are refused by name, before a cluster is asked; --all leaves them out.
func TestVerbsThatImagesDoNotKnow(t *testing.T) {
	b := newBed(t)
	text := `resources:
  off: {source: "rbd:p/a", targets: [{device: "rbd:p/b", ceph: {conf: /nonexistent/c.conf}}]}
  in: {source: /dev/vg0/a, targets: [{device: "rbd:p/b"}]}
  lv: {source: /dev/vg0/a, targets: [{host: dr1, device: /dev/vg1/a}]}
`
	require.NoError(t, os.WriteFile(filepath.Join(b.dir, "ddsgo.yaml"), []byte(text), 0o600))
	for _, c := range []struct {
		code  int
		words string
		args  []string
	}{
		{failure.CodeUnsupported, "one end of this leg is an RBD image", []string{"verify", "off"}},
		{failure.CodeUnsupported, "one end of this leg is an RBD image", []string{"resync", "in"}},
		{failure.CodeUnsupported, "one end of this leg is an RBD image", []string{"fold", "off"}},
		{failure.CodeUnsupported, "do not overflow", []string{"watch", "off"}},
		{failure.CodeUnsupported, "only a copy on an RBD image", []string{"rollback", "lv"}},
		{failure.CodeUsage, "--rollback is for --dest rbd:", []string{"merge", "--rollback", "--dest", "/dev/null"}},
		{failure.CodeUsage, "unknown resource", []string{"rollback", "nosuch"}},
	} {
		code, out, errOut := b.run(c.args...)
		require.Equal(t, c.code, code, "%v: %s%s", c.args, out, errOut)
		require.Contains(t, errOut, c.words, "%v", c.args)
	}
}
