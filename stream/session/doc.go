// Package session is the protocol between ddsgo and "ddsgo serve --stdio" at the
// other end of an ssh connection, a pipe or a socket. This comment is its
// specification; protocol version 1.
//
// # Words
//
//	client    the end that started the connection; it makes requests
//	server    the end that runs serve; it answers one request at a time
//	exchange  a request with everything that belongs to it, up to the final answer
//	window    how many bytes of data a receiver promises to take unread
//
// # Banner
//
// The server speaks first, with one line of text, so that "ssh host ddsgo serve
// --stdio" can be judged by eye:
//
//	ddsgo-session/1 version=0.3.1 host=dr1 capabilities=journal,resync\n
//
// The number is the protocol version; a line has at most MaxBanner bytes; unknown keys
// are ignored; values hold no white space. What comes before that line (a message of
// the day, a shell's complaint) is skipped, up to MaxNoise bytes, and kept for error
// messages. Only then does the client send its own banner, before which nothing may
// stand: whatever answered until here has received nothing from us. Ends that do not
// know each other's version part with ErrVersion.
//
// # Messages
//
// Everything after the banners is messages, little-endian:
//
//	 0      1       2          4         8        12             16            20
//	+------+-------+----------+---------+--------+--------------+-------------+---------+
//	| type | flags | 0 0      | call    | length | crc32c of    | crc32c of   | payload |
//	|      |       |          |         |        | the payload  | bytes 0..15 |         |
//	+------+-------+----------+---------+--------+--------------+-------------+---------+
//
//	 1 ping      -        keeps the line alive                          both ways
//	 2 request   JSON     {"op": .., "in": ..}; flag 1: no data follows client
//	 3 ready     JSON     preliminary answer                            server
//	 4 data      raw      1 to MaxData bytes of the data stream         both ways
//	 5 data-end  -        end of the sender's data stream               both ways
//	 6 progress  JSON     Progress                                      server
//	 7 reply     JSON     final answer                                  server
//	 8 failure   JSON     final answer: code, subject, reason, next     server
//	 9 credit    u32      so many more bytes of data may be sent        both ways
//	10 cancel    text     the client gives the exchange up; why         client
//	11 bye       -        the client ends the session                   client
//
// call numbers the exchanges of a session: 1, 2, 3 ...; ping and bye carry 0. Messages
// of an exchange that is over are dropped: the peer may not know yet. A message of an
// exchange to come, an unknown type or flag, a length above the type's limit or a
// wrong checksum ends the session with ErrProtocol.
//
// # Data
//
// Each direction of an exchange has one data stream. At the start of an exchange a
// sender may send Window bytes, then as many more as credit messages grant. A receiver
// therefore never has to stop reading the connection: heartbeats, progress and
// cancellation pass a data stream that nobody reads at the moment, two streams in
// opposite directions cannot block each other, and memory is bounded by Window. A data
// stream that ends otherwise than by data-end is an error at its reader, never an
// end of file.
//
// # Life signs
//
// An end that has said nothing for Options.Heartbeat (at most MaxHeartbeat) sends a
// ping or, if it has one, its newest progress. An end from which not one byte came for
// Options.ProgressTimeout is dead: stopped, cut off, or swallowed by the network, which
// ssh's own keep-alives do not notice for a stopped process. The session then ends with
// ErrPeerSilent, as it does with ErrPeerGone at end of file, and a running handler's
// context is cancelled.
//
// # What is not promised
//
// Secrecy and authentication are ssh's business; the checksums find faults, not
// forgery. What a peer says is data to be judged: lengths are checked against the
// limits before anything is allocated, text for people is stripped of control
// characters, and codes that are no exit codes become 1.
package session
