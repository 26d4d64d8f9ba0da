// Package opensvc translates the replication of an OpenSVC agent's configuration to
// ddsgo's: the arrays of node.conf or cluster.conf, and the sync sections of service files
// of types hp3par, hp3parsnap and dds.
//
// # What is read
//
// INI as Python's configparser reads it, in the form of 2014 (service.env) and of today
// (service.conf, node.conf, cluster.conf):
//
//	[SECTION]
//	key = value              # a line that is indented deeper goes on with the value
//	key@SCOPE = value        # for one node, or for nodes, drpnodes
//
// A key's value on a node is that of key@NODE, else key@nodes or key@drpnodes, else key,
// else the same in [DEFAULT]. {name}, {SECTION.name}, {env.name} and {svcname} are replaced.
//
// # What it becomes
//
//	[array#NAME] type = hp3par     arrays: NAME (auth.conf of 2014: [NAME] alone)
//	[sync#N] type = hp3par         resource, driver hp3par; a site per (array, rcg), called
//	                               after its first node, those of nodes before drpnodes
//	[sync#N] type = hp3parsnap     resource, driver hp3parsnap
//	[sync#N] type = dds            resource, driver lvm, with opensvc_state: the pair is
//	                               adopted without copying anything again
//
// A resource is called after its service; where a service has several, -N is appended.
//
// # What is refused, and what is told
//
// A mistake is an error with file, line and key: what is no INI, a key that stands there
// twice, a key that is missing, misspelt or has a value that its driver does not take, a
// reference to nothing, a duration without a unit (documentation of 2014 meant minutes,
// the agent of today means seconds; the caller has to say). What is right and has no
// counterpart is a note: schedules, triggers, further targets, other types. Secrets are
// named, never repeated.
package opensvc
