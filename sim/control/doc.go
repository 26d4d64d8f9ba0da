// Package control is the part that all array simulators have in common: a clock
// that can be advanced, a journal of every command received, a set of injected
// faults, and the HTTP API through which a test drives them.
//
// # Control API
//
// Every body is JSON; an unknown key, query or path is refused.
//
//	GET    /v1/state               what the simulator holds, both arrays
//	GET    /v1/journal?since=N     array of entries with seq > N
//	GET    /v1/fault               array of the faults in force
//	POST   /v1/fault               {array, kind, value, match, count} -> {id}
//	DELETE /v1/fault[?id=|array=|kind=]  removes all faults, or those named
//	GET    /v1/clock               {now, mode}
//	POST   /v1/clock               {advance_s, mode} -> {now, mode}
//	POST   /v1/reset               back to the scenario; faults and journal are emptied
//	POST   /v1/io                  {array, volume, op, offset, data_b64|length} -> {data_b64}
//
// Errors are {"error": text} with 400 (malformed), 404 (no such thing), 409
// (refused by role or state) or 500.
//
// # Faults
//
// A fault has a kind, for one array or (array empty) for all; match restricts it
// to commands that contain the text (for HTTP the subject is "METHOD path");
// count is how often it strikes (0: until deleted). A fault without value is
// simply on.
//
// # Clock
//
// Real: the machine's time, plus whatever was added by advance. Manual: stands
// still between advances, waiting commands wait. Auto: stands still, but a
// command that waits moves it to the instant it waits for: a whole failover
// takes no real time and still shows its order of events.
package control
