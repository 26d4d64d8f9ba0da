// Package proxy is an allow-list in front of HPE 3PAR arrays: servers in a less trusted
// network may have a few commands run, each spelled out, and nothing else.
//
// A rule is (service, node uuid, array) -> list of command lines. A request is
//
//	POST /api/cmd/
//	Content-Type: application/x-www-form-urlencoded
//	array=ARRAY&cmd=COMMAND&path=SERVICE&uuid=UUID      (svcname= is another name of path=)
//
// and its cmd must be equal, byte for byte, to one of the rule's. The answer always has
// exactly the keys err, ret and out. What is refused, and why, differs in nothing that a
// caller could learn from: the same text for an unknown array, service, uuid or command.
//
// The command line is split at single spaces and handed on as arguments. There is no
// shell anywhere, and the options that make lists machine readable are added here, after
// the comparison. An act that was started is not stopped when its client leaves: half a
// change of direction helps nobody. One that was not started yet is not started any more.
//
// Each array takes max_per_array commands at once, the others wait in the order in which
// they came, across a reload too. The limits on clients (reading 10 s, an answer not
// taken, idle connections, their number) are none on commands.
//
// The uuid is a bearer secret: whoever knows it may send what its rules allow. With
// client_ca, clients need a certificate too, and a rule may name it.
package proxy
