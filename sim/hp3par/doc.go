// Package hp3par simulates a pair of HPE 3PAR arrays that replicate to each other
// with Remote Copy: the ssh command line, the web services API (WSAPI) and the
// state machine behind both.
//
// # Words
//
//	array    one of the two systems; it has a name and a decimal system id
//	target   how an array names its peer (the peer's name)
//	group    a Remote Copy group as one array sees it; the copy on the peer is
//	         named NAME.r<system id of the creator>
//	pair     both groups together, and what is common to them
//	role     Primary or Secondary; "-Rev" is appended while the role differs
//	         from the group's natural one
//	cycle    one transfer of a point in time from one side to the other
//	point    the content that a completed cycle gave to the receiving side
//	task     a long operation with a number, visible in showtask and /tasks
//
// # What is simulated
//
// One lock guards both arrays. Everything that takes time is an event on the
// clock: a cycle begins (the primary's content is frozen as of that instant,
// members show Syncing) and ends (the secondary receives exactly that content,
// Last-Sync becomes the instant at which the cycle began). A cycle that is cut
// leaves the secondary half written and keeps what it held before; failover goes
// back to that, as the array does by promoting its snapshot, unless -nopromote.
//
//	failover   Secondary, stopped      -> Primary-Rev, stopped; the peer stays Primary
//	                                      or becomes Secondary-Rev (returning_role)
//	recover    Primary-Rev, stopped    -> peer Secondary-Rev, started, copied back
//	restore    Primary-Rev, started    -> last cycle, then both plain again, started
//	reverse    stopped                 -> roles and natural direction swapped, stopped
//	  -current                            roles only: Primary-Rev, Secondary-Rev
//	  -natural                            natural direction only
//	  -local                              on this array alone
//
// With autonomous restart (profile alletra-10.5, or the fault of that name) a
// failover while both arrays talk goes on by itself: the peer turns Secondary-Rev
// at once, the group starts from the new primary, and when it is synced the roles
// become plain.
//
// Loss of the link stops every started group on both sides; auto_recover starts
// it again when the link is back, if it was stopped for that reason only.
//
// # Faults
//
//	link_down           replication link is down, management is not
//	array_down          array is off: no management, no link, no host I/O
//	mgmt_down           management address is dead, replication goes on
//	slow_ms N           every reply waits N ms of real time
//	http_503            WSAPI answers 503
//	too_many_cli        ssh: "Too many local CLI connections.", exit status 1
//	drop_reply          the command is carried out, then the connection is cut
//	refuse TEXT         the command is not carried out, the array answers TEXT; match holds
//	                    for the command line, or METHOD PATH BODY
//	expire_session      the WSAPI session of the request is forgotten first
//	task_seconds N      duration of a task or cycle ("failover G", "sync G", ...)
//	task_fail           that task or cycle fails
//	autonomous_restart  true or false, instead of the profile's
//	exit_zero           ssh exit status is always 0
//	header_rows         header rows in spite of nohdtot
//	clock_offset_s N    the array's clock is N seconds ahead
//	timezone Z          zone of CLI times: CET, or CET=+01:00 for any other
//	returning_role R    "primary" or "secondary-rev": the old primary after failover
//	role_numbers R      "flag" (role 1 and roleReversed) or "number" (role 3, 4)
//	options O           Options column of showrcopy groups in CSV: "quoted" if it holds
//	                    commas, "bare" without quotes, or "empty"
//
// # What is not known of the real array
//
// No vendor manual was read in full and no real 3PAR was at hand. Not verified,
// and therefore tolerated in several forms by the faults above: the exit status
// of failed commands, the old primary's role after failover on OS 3.x, the wording
// of most error texts, WSAPI numbers for states that no public source shows. WSAPI
// errors whose number is not public carry 9000 and up, which no array uses.
package hp3par
