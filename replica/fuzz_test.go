package replica

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/generation"
	"github.com/ddsgo/ddsgo/stream"
	"github.com/ddsgo/ddsgo/stream/session"
	"github.com/ddsgo/ddsgo/transport"
)

// hostileSize keeps a world of the fuzzer small.
const hostileSize = 64 << 10

// FuzzRequests is a source that speaks the session's protocol and asks for anything: any operation, any
// request, any data behind it, and then the same again in the same session. What it may not reach
// stays as it is: other volumes, and what lies behind the copy.
func FuzzRequests(f *testing.F) {
	ref := VolumeRef{Device: targetPath, Resource: "app", Source: "lv-elsewhere"}
	g := generation.Generation{UUID: "next", Seq: 9, Size: hostileSize}
	head := stream.Header{Version: stream.Version, Kind: stream.KindFull, Checksum: stream.ChecksumXXH64SHA256, FrameSize: stream.DefaultFrameSize, VolumeSize: hostileSize, To: g, SetBytes: hostileSize, Source: sourcePath}
	for op, in := range map[string]any{
		opProbe: ref, opInspect: ref, opHold: ref, opRelease: ref, opPromote: ref, opList: nil, opAdopt: ref,
		opReceive:  receiveRequest{VolumeRef: ref, Mode: modeFull, Header: head, Need: 1 << 40, Overwrite: true},
		opDigest:   digestRequest{VolumeRef: ref, Size: 1 << 50, End: 1 << 50, Salt: make([]byte, 16), Limit: 1},
		opVerified: verifiedRequest{VolumeRef: ref, At: g, Until: -1},
		opExtend:   extendRequest{VolumeRef: ref, Size: 1 << 62, Fence: 1 << 63},
		opReclaim:  reclaimRequest{VolumeRef: ref, Overwrite: true, Fence: 1 << 63},
	} {
		b, err := json.Marshal(in)
		require.NoError(f, err)
		f.Add(op, b, []byte("data that is no delta"))
		f.Add(op, bytes.ReplaceAll(b, []byte(targetPath), []byte("/dev/vg1/other")), []byte{})
	}
	f.Fuzz(func(t *testing.T, op string, in, data []byte) {
		if !json.Valid(in) || len(op) > 40 {
			return
		}
		w := newWorldOf(t, t.TempDir(), hostileSize)
		e := w.start(nil)
		rw, err := e.dial(context.Background(), transport.Target{})
		require.NoError(t, err)
		c, err := session.Connect(context.Background(), rw, session.Options{})
		require.NoError(t, err)
		for range 2 {
			x, err := c.Start(context.Background(), op, json.RawMessage(in), nil)
			if err != nil {
				break
			}
			if x.Ready(nil) == nil {
				_, _ = x.Writer().Write(data) // a refusal is as good
			}
			_ = x.Finish(nil)
		}
		_ = c.Close()
		e.serving.Wait()
		require.NoError(t, w.foreignUntouched())
	})
}
