package resync

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ddsgo/ddsgo/extent"
)

// Message types, see doc.go.
const (
	msgStripes = 1
	msgBlocks  = 2
	msgEnd     = 3
	msgWant    = 4
)

const headSize = 16

// Writer is the stream to the peer; Flush makes what was written leave.
type Writer interface {
	io.Writer
	Flush() error
}

// link is both streams of an exchange at one end.
type link struct {
	r              io.Reader
	w              Writer
	sent, received int64
	buf            []byte
}

// send writes one message.
func (l *link) send(typ byte, count int, off int64, payload []byte) error {
	b := make([]byte, headSize, headSize+len(payload))
	b[0] = typ
	binary.LittleEndian.PutUint32(b[4:], uint32(count))
	binary.LittleEndian.PutUint64(b[8:], uint64(off))
	n, err := l.w.Write(append(b, payload...))
	l.sent += int64(n)
	return err
}

func (l *link) sendDigests(typ byte, off int64, ds []digest) error {
	b := make([]byte, 0, len(ds)*digestSize)
	for i := range ds {
		b = append(b, ds[i][:]...)
	}
	return l.send(typ, len(ds), off, b)
}

// head is the head of a message.
type head struct {
	typ   byte
	count uint32
	off   int64
}

// next reads the head of the next message.
func (l *link) next() (head, error) {
	var b [headSize]byte
	if err := l.read(b[:]); err != nil {
		return head{}, err
	}
	h := head{b[0], binary.LittleEndian.Uint32(b[4:]), int64(binary.LittleEndian.Uint64(b[8:]))}
	if b[1]|b[2]|b[3] != 0 || h.off < 0 {
		return h, fmt.Errorf("%w: malformed message head %x", ErrProtocol, b)
	}
	return h, nil
}

// must refuses any message but the one that has to come.
func (h head) must(typ byte, count int, off int64) error {
	if h == (head{typ, uint32(count), off}) {
		return nil
	}
	return fmt.Errorf("%w: message %d with %d at %d, expected %d with %d at %d", ErrProtocol, h.typ, h.count, h.off, typ, count, off)
}

// digests reads count digests into a buffer that the next call overwrites. count is
// what we computed, never what the peer said.
func (l *link) digests(count int) ([]byte, error) {
	if need := count * digestSize; cap(l.buf) < need {
		l.buf = make([]byte, need)
	}
	b := l.buf[:count*digestSize]
	return b, l.read(b)
}

func (l *link) read(b []byte) error {
	n, err := io.ReadFull(l.r, b)
	l.received += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the stream ended early", ErrProtocol)
	}
	return err
}

// wanted is the payload of a want message, as the stripes that it names.
type wanted []byte

func newWanted(stripes int) wanted { return make(wanted, pieces(int64(stripes), 8)) }

func (w wanted) set(i int)      { w[i/8] |= 1 << (i % 8) }
func (w wanted) has(i int) bool { return w[i/8]&(1<<(i%8)) != 0 }

// check refuses bits that mean no stripe.
func (w wanted) check(stripes int) error {
	for i := stripes; i < len(w)*8; i++ {
		if w.has(i) {
			return fmt.Errorf("%w: stripe %d of %d is wanted", ErrProtocol, i, stripes)
		}
	}
	return nil
}

// stripeAt is the i-th stripe of a window.
func stripeAt(w extent.Extent, i int) extent.Extent { return piece(w, i, StripeSize) }
