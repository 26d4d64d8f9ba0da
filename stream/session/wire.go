package session

import (
	"encoding/binary"
	"hash/crc32"
)

// Limits of protocol version 1. They are part of the protocol.
const (
	Protocol      = 1
	MaxBanner     = 1024      // bytes of a banner line
	MaxNoise      = 64 << 10  // bytes before the server's banner
	MaxControl    = 256 << 10 // bytes of a JSON or text payload
	MaxData       = 256 << 10 // bytes of a data payload
	Window        = 4 << 20   // bytes of data a sender may send before any credit
	headerSize    = 20
	headerCovered = 16 // bytes of the header under its checksum
)

// msgType is the type of a message.
type msgType uint8

const (
	msgPing msgType = iota + 1
	msgRequest
	msgReady
	msgData
	msgDataEnd
	msgProgress
	msgReply
	msgFailure
	msgCredit
	msgCancel
	msgBye
)

// flagNoData on a request: the client's data stream is empty.
const flagNoData = 1

var msgNames = [...]string{"", "ping", "request", "ready", "data", "data-end", "progress", "reply", "failure", "credit", "cancel", "bye"}

func (t msgType) String() string {
	if t == 0 || int(t) >= len(msgNames) {
		return "unknown"
	}
	return msgNames[t]
}

// payloadLimits gives the smallest and largest payload of a type.
func (t msgType) payloadLimits() (low, high uint32) {
	switch t {
	case msgData:
		return 1, MaxData
	case msgRequest, msgReady, msgProgress, msgReply, msgFailure:
		return 2, MaxControl
	case msgCancel:
		return 0, MaxFailureText + 3
	case msgCredit:
		return 4, 4
	}
	return 0, 0
}

// header is a decoded message header.
type header struct {
	typ        msgType
	flags      uint8
	call       uint32
	length     uint32
	payloadSum uint32
}

// castagnoli is never written to.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

// putHeader encodes the header of a message into b[:headerSize].
func putHeader(b []byte, h header) {
	b[0], b[1], b[2], b[3] = byte(h.typ), h.flags, 0, 0
	binary.LittleEndian.PutUint32(b[4:], h.call)
	binary.LittleEndian.PutUint32(b[8:], h.length)
	binary.LittleEndian.PutUint32(b[12:], h.payloadSum)
	binary.LittleEndian.PutUint32(b[16:], sum(b[:headerCovered]))
}

// parseHeader decodes and judges b[:headerSize]. Nothing is allocated before it
// returned without an error.
func parseHeader(b []byte) (header, error) {
	if len(b) < headerSize {
		return header{}, protocolError("header of %d bytes", len(b))
	}
	if got, want := sum(b[:headerCovered]), binary.LittleEndian.Uint32(b[16:]); got != want {
		return header{}, protocolError("header checksum %08x, computed %08x", want, got)
	}
	h := header{
		typ: msgType(b[0]), flags: b[1],
		call:       binary.LittleEndian.Uint32(b[4:]),
		length:     binary.LittleEndian.Uint32(b[8:]),
		payloadSum: binary.LittleEndian.Uint32(b[12:]),
	}
	if h.typ == 0 || h.typ > msgBye {
		return header{}, protocolError("message type %d", b[0])
	}
	if b[2] != 0 || b[3] != 0 || h.flags&^flagNoData != 0 || h.flags != 0 && h.typ != msgRequest {
		return header{}, protocolError("%v message with unknown flags", h.typ)
	}
	if low, high := h.typ.payloadLimits(); h.length < low || h.length > high {
		return header{}, protocolError("%v message of %d bytes, want %d to %d", h.typ, h.length, low, high)
	}
	if (h.typ == msgPing || h.typ == msgBye) != (h.call == 0) {
		return header{}, protocolError("%v message for call %d", h.typ, h.call)
	}
	return h, nil
}

// message encodes a whole message.
func message(typ msgType, flags uint8, call uint32, payload []byte) []byte {
	b := make([]byte, headerSize+len(payload))
	copy(b[headerSize:], payload)
	putHeader(b, header{typ: typ, flags: flags, call: call, length: uint32(len(payload)), payloadSum: sum(payload)})
	return b
}

// sum2 is the checksum of a followed by b.
func sum2(a, b []byte) uint32 { return crc32.Update(sum(a), castagnoli, b) }
