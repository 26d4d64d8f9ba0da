package report_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/report"
)

// TestDDS: the original's report for the four runs whose figures OpenSVC published.
func TestDDS(t *testing.T) {
	for exceptions, want := range map[int64][3]string{107: {"8 KB", "428 KB", "436 KB"}, 57: {"8 KB", "228 KB", "236 KB"}, 26: {"8 KB", "104 KB", "112 KB"}, 20: {"8 KB", "80 KB", "88 KB"}} {
		var out strings.Builder
		r := report.Transfer{ChunkSize: 4096, ChangedBytes: exceptions * 4096}
		r.DDS(&out)
		require.Contains(t, out.String(), "Snapshot header:\n  magic             0x70416e53\n  version           1\n  valid             yes\n  chunk_size        4 KB\nReport:\n  Exception chunks  1\n")
		require.Contains(t, out.String(), "  Output size meta  "+want[0]+"\n  Output size data  "+want[1]+"\n  Output size total "+want[2]+"\n")
	}
}
