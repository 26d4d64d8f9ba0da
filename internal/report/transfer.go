package report

import (
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"
)

// Transfer is what Extract and Merge have in common: how much of the volume a delta
// covers and what it weighed on the way.
type Transfer struct {
	Kind         string  `json:"kind"`          // delta or full
	Set          string  `json:"set_id"`        // which extents
	VolumeSize   int64   `json:"volume_size"`   //
	ChunkSize    int64   `json:"chunk_size"`    // 0: the set does not come from chunks
	ChangedBytes int64   `json:"changed_bytes"` // sum of the set's extents
	DataBytes    int64   `json:"data_bytes"`    // of these, content
	ZeroBytes    int64   `json:"zero_bytes"`    // of these, read as zeros
	EncodedBytes int64   `json:"encoded_bytes"` // content after the codec
	StreamBytes  int64   `json:"stream_bytes"`  // the delta: headers, tables, payloads
	SentBytes    int64   `json:"sent_bytes"`    // of the delta, in this run (less after a resume)
	Extents      int64   `json:"extents"`       //
	Frames       int64   `json:"frames"`        //
	Digest       string  `json:"digest"`        // of the whole delta
	Seconds      float64 `json:"seconds"`       //
	BytesPerSec  float64 `json:"bytes_per_sec"` // changed bytes handled in this run per second
}

// Extract is the report of one extraction.
type Extract struct {
	Transfer
	Codec map[string]int64 `json:"codec_frames"` // frames with content, by codec
}

// Merge is the report of one merge.
type Merge struct {
	Transfer
	Journalled   bool    `json:"journalled"`
	WriteSeconds float64 `json:"write_seconds"` // of Seconds, from the first write to the last fsync
}

// Finish sets the duration and the rate over the bytes handled.
func (t *Transfer) Finish(since time.Time, handled int64) {
	d := time.Since(since)
	t.Seconds = d.Seconds()
	if t.Seconds > 0 {
		t.BytesPerSec = float64(handled) / t.Seconds
	}
}

// Exceptions is the number of changed chunks, 0 where the set does not come from chunks.
func (t *Transfer) Exceptions() int64 {
	if t.ChunkSize <= 0 {
		return 0
	}
	return (t.ChangedBytes + t.ChunkSize - 1) / t.ChunkSize
}

// Text prints the report for people.
func (t *Transfer) Text(w io.Writer, verb string) {
	fmt.Fprintf(w, "%s: %s of a volume of %s changed (%d extents)\n", verb, iBytes(t.ChangedBytes), iBytes(t.VolumeSize), t.Extents)
	fmt.Fprintf(w, "  content %s, zeros %s, encoded %s in %d frames\n", iBytes(t.DataBytes), iBytes(t.ZeroBytes), iBytes(t.EncodedBytes), t.Frames)
	fmt.Fprintf(w, "  delta %s", iBytes(t.StreamBytes))
	if t.SentBytes != t.StreamBytes {
		fmt.Fprintf(w, ", of which %s in this run", iBytes(t.SentBytes))
	}
	fmt.Fprintf(w, ", %.2f s, %s/s\n", t.Seconds, iBytes(int64(t.BytesPerSec)))
	fmt.Fprintf(w, "  digest %s\n", t.Digest)
}

// cowMagic is the magic of a dm-snapshot store, which the original prints.
const cowMagic = 0x70416e53

// exceptionBytes is the size of one entry of a dm-snapshot exception table.
const exceptionBytes = 16

// DDS prints the report with the lines of the original dds: sizes in units of 1024 bytes,
// meta data counted as the header chunk and the exception chunks of the snapshot's store.
func (t *Transfer) DDS(w io.Writer) {
	chunk := max(t.ChunkSize, exceptionBytes)
	perArea := chunk / exceptionBytes
	areas := max((t.Exceptions()+perArea-1)/perArea, 1)
	meta, data := (1+areas)*t.ChunkSize, t.Exceptions()*t.ChunkSize
	kb := func(n int64) string { return fmt.Sprintf("%d KB", n>>10) }
	fmt.Fprintln(w, "Snapshot header:")
	for _, l := range [][2]string{{"magic", fmt.Sprintf("0x%08x", cowMagic)}, {"version", "1"}, {"valid", "yes"}, {"chunk_size", kb(t.ChunkSize)}} {
		fmt.Fprintf(w, "  %-17s %s\n", l[0], l[1])
	}
	fmt.Fprintln(w, "Report:")
	for _, l := range [][2]string{{"Exception chunks", fmt.Sprint(areas)}, {"Exceptions", fmt.Sprint(t.Exceptions())},
		{"Output size meta", kb(meta)}, {"Output size data", kb(data)}, {"Output size total", kb(meta + data)}} {
		fmt.Fprintf(w, "  %-17s %s\n", l[0], l[1])
	}
}

func iBytes(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
