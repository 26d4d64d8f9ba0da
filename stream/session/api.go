package session

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"time"
)

// Defaults of Options.
const (
	DefaultHeartbeat       = 2 * time.Second
	DefaultProgressTimeout = 60 * time.Second
	DefaultHandshake       = 30 * time.Second
)

// Options of a session. The zero value is the default.
type Options struct {
	Version      string        // of the program, for people
	Host         string        // name of this end, for people
	Capabilities []string      // what this end can do; words of [a-z0-9-]
	Heartbeat    time.Duration // a silent side says something this often; at most 5 s
	// ProgressTimeout ends the session when nothing at all came from the peer for so long.
	ProgressTimeout time.Duration
	Handshake       time.Duration // until the peer's banner must have come
	Log             *slog.Logger  // nil: none
}

// Peer is what the other end said in its banner.
type Peer struct {
	Protocol     int
	Version      string
	Host         string
	Capabilities []string
	Noise        string // what came before the banner: a message of the day, a shell's complaint
}

// Has says whether the peer announced a capability.
func (p Peer) Has(capability string) bool { return false }

// Progress is a handler's (or sender's) account of where it stands.
type Progress struct {
	Phase string `json:"phase"` // spooling, applying, fsync, hashing ...
	Done  int64  `json:"done"`
	Total int64  `json:"total"` // 0: unknown
	Text  string `json:"text,omitempty"`
}

// Conn is the client's end. One exchange runs at a time.
type Conn struct{}

// Connect does the handshake over rwc and starts the session. It takes rwc over:
// Close closes it.
func Connect(ctx context.Context, rwc io.ReadWriteCloser, opt Options) (*Conn, error) {
	return nil, errors.ErrUnsupported
}

// Peer is the server's banner.
func (c *Conn) Peer() Peer { return Peer{} }

// Call runs op with in and decodes the answer into out (either may be nil). A
// refusal by the server is the *failure.Error that its handler returned. Cancelling
// ctx ends the session: the connection cannot be used afterwards.
func (c *Conn) Call(ctx context.Context, op string, in, out any, progress func(Progress)) error {
	return errors.ErrUnsupported
}

// Start begins an exchange with data streams. Typical use:
//
//	x, err := conn.Start(ctx, "receive", req, onProgress)
//	err = x.Ready(&answer)                       // the server's preliminary answer
//	err = x.Send(func(w io.Writer) error {...})  // our data; ends with end-of-data
//	err = x.Finish(&result)                      // the server's final answer
//
// Recv may be read at the same time as Send writes. Finish must always be called.
func (c *Conn) Start(ctx context.Context, op string, in any, progress func(Progress)) (*Exchange, error) {
	return nil, errors.ErrUnsupported
}

// Close ends the session in order and closes the connection.
func (c *Conn) Close() error { return errors.ErrUnsupported }

// Exchange is one running operation, seen by the client.
type Exchange struct{}

// Ready waits for the server's preliminary answer. A handler that failed before it
// gives its error here.
func (x *Exchange) Ready(out any) error { return errors.ErrUnsupported }

// Send calls write with a writer of our data stream, then ends the stream. If the
// server fails meanwhile, writing fails with its error and so does Send.
func (x *Exchange) Send(write func(io.Writer) error) error { return errors.ErrUnsupported }

// Writer is our data stream for interactive use: Flush sends what is buffered,
// Close ends the stream.
func (x *Exchange) Writer() *DataWriter { return nil }

// Recv is the server's data stream: io.EOF at its end-of-data, the session's or the
// server's error otherwise.
func (x *Exchange) Recv() io.Reader { return nil }

// Finish waits for the final answer.
func (x *Exchange) Finish(out any) error { return errors.ErrUnsupported }

// DataWriter writes one direction's data stream.
type DataWriter struct{}

func (w *DataWriter) Write(p []byte) (int, error) { return 0, errors.ErrUnsupported }

// Flush sends what is buffered.
func (w *DataWriter) Flush() error { return errors.ErrUnsupported }

// Close flushes and sends end-of-data; it does not close the session.
func (w *DataWriter) Close() error { return errors.ErrUnsupported }

// Handler serves requests, one at a time per session. ctx is cancelled when the
// peer is gone, silent for too long, or cancelled the exchange. An error that is a
// *failure.Error travels with code, subject, reason and next; any other as code 1.
// A handler that returns nil without Reply sends an empty reply.
type Handler interface {
	Handle(ctx context.Context, req *Request) error
}

// HandlerFunc adapts a function.
type HandlerFunc func(ctx context.Context, req *Request) error

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, req *Request) error { return f(ctx, req) }

// Request is one running operation, seen by the server.
type Request struct {
	Op string
	in json.RawMessage
}

// Decode decodes the request's argument; unknown keys are refused.
func (r *Request) Decode(in any) error { return errors.ErrUnsupported }

// Peer is the client's banner.
func (r *Request) Peer() Peer { return Peer{} }

// Ready sends the preliminary answer.
func (r *Request) Ready(v any) error { return errors.ErrUnsupported }

// Data is the client's data stream: io.EOF only after its end-of-data, any other end is an error.
func (r *Request) Data() io.Reader { return nil }

// Writer is our data stream to the client.
func (r *Request) Writer() *DataWriter { return nil }

// Progress tells the client where we stand; it never blocks for long and may be
// called as often as one likes (all but the newest of a burst are dropped).
func (r *Request) Progress(p Progress) {}

// Reply sends the final answer; it is sent when Handle returns nil.
func (r *Request) Reply(v any) error { return errors.ErrUnsupported }

// Serve answers requests on rw until the peer ends the session (nil), is gone or
// breaks the protocol, or ctx ends. A running handler is cancelled and waited for.
func Serve(ctx context.Context, rw io.ReadWriteCloser, h Handler, opt Options) error {
	return errors.ErrUnsupported
}
