package session

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/internal/failure"
)

const goodBanner = "ddsgo-session/1 version=1 host=evil capabilities=\n"

// script is a connection from which fixed bytes come and to which anything goes.
type script struct {
	io.Reader
}

func (script) Write(p []byte) (int, error) { return len(p), nil }
func (script) Close() error                { return nil }

// raw makes a message with any header, checksums right.
func raw(typ, flags byte, call, length uint32, payload []byte) []byte {
	b := make([]byte, headerSize, headerSize+len(payload))
	putHeader(b, header{typ: msgType(typ), flags: flags, call: call, length: length, payloadSum: sum(payload)})
	return append(b, payload...)
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func credit(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }

// TestHostileClient: whatever a client sends, the server ends the session with
// ErrProtocol (or ErrPeerGone where the bytes just stop), and holds no more memory
// than the limits.
func TestHostileClient(t *testing.T) {
	request := message(msgRequest, 0, 1, []byte(`{"op":"wait"}`))
	flipped := func(b []byte, at int) []byte { c := bytes.Clone(b); c[at] ^= 1; return c }
	data := message(msgData, 0, 1, make([]byte, MaxData))
	for _, tt := range []struct {
		name string
		sent []byte
		is   error
	}{
		{"nothing", nil, ErrPeerGone},
		{"half a header", request[:10], ErrPeerGone},
		{"half a payload", request[:len(request)-1], ErrPeerGone},
		{"text", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), ErrProtocol},
		{"header bit flipped", flipped(request, 4), ErrProtocol},
		{"payload bit flipped", flipped(request, headerSize+3), ErrProtocol},
		{"type 0", raw(0, 0, 1, 0, nil), ErrProtocol},
		{"type 12", raw(12, 0, 1, 0, nil), ErrProtocol},
		{"unknown flag", raw(byte(msgRequest), 2, 1, 2, []byte("{}")), ErrProtocol},
		{"flag on data", raw(byte(msgData), 1, 1, 1, []byte("x")), ErrProtocol},
		{"huge control message", raw(byte(msgRequest), 0, 1, 0xffffffff, nil), ErrProtocol},
		{"control above the limit", raw(byte(msgRequest), 0, 1, MaxControl+1, nil), ErrProtocol},
		{"huge data", cat(request, raw(byte(msgData), 0, 1, 0xffffffff, nil)), ErrProtocol},
		{"data above the limit", cat(request, raw(byte(msgData), 0, 1, MaxData+1, nil)), ErrProtocol},
		{"empty data", cat(request, raw(byte(msgData), 0, 1, 0, nil)), ErrProtocol},
		{"ping with payload", raw(byte(msgPing), 0, 0, 1, []byte("x")), ErrProtocol},
		{"ping for a call", raw(byte(msgPing), 0, 1, 0, nil), ErrProtocol},
		{"request for call 0", raw(byte(msgRequest), 0, 0, 2, []byte("{}")), ErrProtocol},
		{"request for call 2 first", raw(byte(msgRequest), 0, 2, 2, []byte("{}")), ErrProtocol},
		{"request twice", cat(request, message(msgRequest, 0, 2, []byte(`{"op":"wait"}`))), ErrProtocol},
		{"request is no object", message(msgRequest, 0, 1, []byte(`[1]`)), ErrProtocol},
		{"request with more", message(msgRequest, 0, 1, []byte(`{"op":"x","uid":0}`)), ErrProtocol},
		{"request followed by text", message(msgRequest, 0, 1, []byte(`{"op":"x"} x`)), ErrProtocol},
		{"deep nesting", message(msgRequest, 0, 1, []byte(strings.Repeat("[", 100000))), ErrProtocol},
		{"data for a call to come", cat(request, message(msgDataEnd, 0, 7, nil)), ErrProtocol},
		{"beyond the window", cat(request, bytes.Repeat(data, Window/MaxData), message(msgData, 0, 1, []byte("x"))), ErrProtocol},
		{"data after its end", cat(request, message(msgDataEnd, 0, 1, nil), message(msgData, 0, 1, []byte("x"))), ErrProtocol},
		{"data where none was announced", cat(message(msgRequest, flagNoData, 1, []byte(`{"op":"wait"}`)), message(msgData, 0, 1, []byte("x"))), ErrProtocol},
		{"credit from nothing", cat(request, message(msgCredit, 0, 1, credit(1))), ErrProtocol},
		{"huge credit", cat(request, message(msgCredit, 0, 1, credit(0xffffffff))), ErrProtocol},
		{"short credit", cat(request, raw(byte(msgCredit), 0, 1, 3, []byte("xyz"))), ErrProtocol},
		{"a server's message", cat(request, message(msgReply, 0, 1, []byte("{}"))), ErrProtocol},
		{"a server's progress", cat(request, message(msgProgress, 0, 1, []byte("{}"))), ErrProtocol},
		{"many data for no call", bytes.Repeat(message(msgData, 0, 0x7fffffff, []byte("x")), 1000), ErrPeerGone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := Serve(t.Context(), script{io.MultiReader(strings.NewReader(goodBanner), bytes.NewReader(tt.sent))}, HandlerFunc(operations), Options{})
			runtime.ReadMemStats(&after)
			require.ErrorIs(t, err, tt.is)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(Window+4<<20))
			code, _ := failure.CodeOf(err)
			require.Contains(t, []int{failure.CodeCorrupt, failure.CodeUnreachable}, code)
		})
	}
}

// TestHostileServer: the same for what a client hears.
func TestHostileServer(t *testing.T) {
	data := message(msgData, 0, 1, make([]byte, MaxData))
	for _, tt := range []struct {
		name string
		sent []byte
		is   error
	}{
		{"nothing", nil, ErrPeerGone},
		{"a request", message(msgRequest, 0, 1, []byte(`{"op":"x"}`)), ErrProtocol},
		{"cancel", message(msgCancel, 0, 1, []byte("why")), ErrProtocol},
		{"bye", message(msgBye, 0, 0, nil), ErrPeerGone},
		{"ready twice", bytes.Repeat(message(msgReady, 0, 1, []byte("{}")), 2), ErrProtocol},
		{"an answer to come", message(msgReply, 0, 2, []byte("{}")), ErrProtocol},
		{"an answer that is no JSON", message(msgReply, 0, 1, []byte("{x")), ErrProtocol},
		{"a failure that is no JSON", message(msgFailure, 0, 1, []byte("{x")), ErrProtocol},
		{"progress that is no JSON", message(msgProgress, 0, 1, []byte("{x")), ErrProtocol},
		{"beyond the window", cat(bytes.Repeat(data, Window/MaxData), message(msgData, 0, 1, []byte("x"))), ErrProtocol},
		{"endless progress", bytes.Repeat(message(msgProgress, 0, 1, []byte(`{"done":1}`)), 10000), ErrPeerGone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := net.Pipe()
			go func() {
				_, _ = io.WriteString(b, goodBanner)
				buf := make([]byte, 65536)
				_, _ = b.Read(buf) // banner
				_, _ = b.Read(buf) // request
				go func() { _, _ = io.Copy(io.Discard, b) }()
				_, _ = b.Write(tt.sent)
				b.Close()
			}()
			c, err := Connect(t.Context(), a, Options{})
			require.NoError(t, err)
			x, err := c.Start(t.Context(), "x", nil, func(Progress) {})
			require.NoError(t, err)
			// Nobody reads Recv: the window has to hold.
			err = x.Ready(nil)
			var out echo
			if err == nil || tt.is == ErrProtocol {
				<-x.x.over
			}
			require.ErrorIs(t, x.Finish(&out), tt.is)
			require.NoError(t, c.Close())
		})
	}
}

// TestHostileFailure: text and code of a failure are judged.
func TestHostileFailure(t *testing.T) {
	for _, code := range []int{0, -1, 2, 256, 1 << 40, 9, 18} {
		err := wireFailure{Code: code, Reason: "r"}.fromWire()
		got, _ := failure.CodeOf(err)
		require.Equal(t, failure.CodeFailure, got)
	}
	err := wireFailure{
		Code: failure.CodeRefused, Subject: "\x1b]0;owned\x07dev", Reason: strings.Repeat("é", MaxFailureText), Next: "rm\u202e -rf\x00",
	}.fromWire()
	var f *failure.Error
	require.ErrorAs(t, err, &f)
	require.Equal(t, "]0;owneddev", f.Subject)
	require.LessOrEqual(t, len(f.Reason), MaxFailureText+3)
	require.Equal(t, "rm -rf", f.Next)
	require.Contains(t, wireFailure{}.fromWire().Error(), "without giving a reason")
}

// TestGolden pins the bytes of protocol version 1.
func TestGolden(t *testing.T) {
	var b strings.Builder
	for _, m := range []struct {
		name string
		msg  []byte
	}{
		{"ping", message(msgPing, 0, 0, nil)},
		{"request", message(msgRequest, 0, 1, []byte(`{"op":"probe","in":{"device":"/dev/vg1/x"}}`))},
		{"request without data", message(msgRequest, flagNoData, 2, []byte(`{"op":"status"}`))},
		{"ready", message(msgReady, 0, 1, []byte(`{"ok":true}`))},
		{"data", message(msgData, 0, 1, []byte("0123456789"))},
		{"data-end", message(msgDataEnd, 0, 1, nil)},
		{"progress", message(msgProgress, 0, 1, []byte(`{"phase":"applying","done":1,"total":2}`))},
		{"reply", message(msgReply, 0, 1, []byte(`{}`))},
		{"failure", message(msgFailure, 0, 1, []byte(`{"code":15,"subject":"x","reason":"y","next":"z"}`))},
		{"credit", message(msgCredit, 0, 1, credit(1<<20))},
		{"cancel", message(msgCancel, 0, 1, []byte("interrupted"))},
		{"bye", message(msgBye, 0, 0, nil)},
	} {
		b.WriteString(m.name + "\n" + hex.Dump(m.msg))
	}
	path := filepath.Join("testdata", "messages-v1.txt")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String(), "protocol version 1 must not change")
	line, err := Options{Version: "0.1.0", Host: "dr 1", Capabilities: []string{"a", "b"}}.banner()
	require.NoError(t, err)
	require.Equal(t, "ddsgo-session/1 version=0.1.0 host=dr_1 capabilities=a,b\n", line)
}

func FuzzHeader(f *testing.F) {
	f.Add(message(msgData, 0, 1, []byte("x"))[:headerSize])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHeader(b)
		if err != nil {
			require.ErrorIs(t, err, ErrProtocol)
			return
		}
		again := make([]byte, headerSize)
		putHeader(again, h)
		require.Equal(t, b[:headerSize], again, "one encoding for one header")
		_, high := h.typ.payloadLimits()
		require.LessOrEqual(t, h.length, high)
	})
}

func FuzzBanner(f *testing.F) {
	f.Add("Welcome\n" + goodBanner)
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Connect(t.Context(), script{strings.NewReader(s)}, Options{})
		if err != nil {
			require.Nil(t, c)
			return
		}
		require.Contains(t, s, bannerStart)
		require.LessOrEqual(t, len(c.Peer().Noise), MaxFailureText+3)
		require.NoError(t, c.Close())
	})
}

// seeds for whole sessions: each message type once.
func sessionSeeds(f *testing.F) {
	f.Add(cat(message(msgRequest, 0, 1, []byte(`{"op":"sum"}`)), message(msgData, 0, 1, []byte("abc")), message(msgDataEnd, 0, 1, nil)))
	f.Add(cat(message(msgRequest, flagNoData, 1, []byte(`{"op":"echo","in":{"text":"x"}}`)), message(msgRequest, 0, 2, []byte(`{"op":"source","in":{"n":9}}`)), message(msgBye, 0, 0, nil)))
	f.Add(cat(message(msgReady, 0, 1, []byte(`{}`)), message(msgProgress, 0, 1, []byte(`{"phase":"x"}`)), message(msgData, 0, 1, []byte("x")), message(msgReply, 0, 1, []byte(`{}`))))
	f.Add(cat(message(msgRequest, 0, 1, []byte(`{"op":"mirror"}`)), message(msgCancel, 0, 1, []byte("why")), message(msgCredit, 0, 1, credit(1))))
	f.Add(message(msgFailure, 0, 1, []byte(`{"code":15}`)))
}

// FuzzServe: any bytes, a session that ends.
func FuzzServe(f *testing.F) {
	sessionSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = Serve(t.Context(), script{io.MultiReader(strings.NewReader(goodBanner), bytes.NewReader(resealed(b)))}, HandlerFunc(operations), Options{})
	})
}

// FuzzClient: any bytes, an exchange that ends.
func FuzzClient(f *testing.F) {
	sessionSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Connect(t.Context(), script{io.MultiReader(strings.NewReader(goodBanner), bytes.NewReader(resealed(b)))}, Options{})
		require.NoError(t, err)
		if x, err := c.Start(t.Context(), "x", nil, func(Progress) {}); err == nil {
			_ = x.Ready(nil)
			_, _ = io.Copy(io.Discard, x.Recv())
			_ = x.Finish(nil)
		}
		require.NoError(t, c.Close())
	})
}

// resealed gives the messages in b right checksums, so that the fuzzer gets behind them.
func resealed(b []byte) []byte {
	b = bytes.Clone(b)
	for rest := b; len(rest) >= headerSize; {
		n := binary.LittleEndian.Uint32(rest[8:])
		if uint64(n) > uint64(len(rest)-headerSize) {
			n = uint32(len(rest) - headerSize)
		}
		binary.LittleEndian.PutUint32(rest[12:], sum(rest[headerSize:headerSize+n]))
		binary.LittleEndian.PutUint32(rest[16:], sum(rest[:headerCovered]))
		rest = rest[headerSize+n:]
	}
	return b
}

func FuzzPrintable(f *testing.F) {
	f.Add("\x1b[2J\xff")
	f.Fuzz(func(t *testing.T, s string) {
		p := Printable(s)
		require.LessOrEqual(t, len(p), MaxFailureText+3)
		require.NotContains(t, p, "\x1b")
		for _, r := range p {
			require.False(t, unicode.IsControl(r) && r != '\n' && r != '\t', "%q", r)
		}
	})
}
