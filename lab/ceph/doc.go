// Package ceph runs two real Ceph clusters and their rbd-mirror daemons on one machine, for tests.
//
//	primary    mon.a  mgr.x  osd.0 (bluestore on a sparse file)  rbd-mirror
//	secondary  mon.a  mgr.x  osd.0 (bluestore on a sparse file)  rbd-mirror
//
// Everything is on 127.0.0.1 and in one directory: configuration, keyrings (one per cluster, never
// shared), logs, sockets and data. Nothing is written to /etc/ceph, no service manager is involved,
// no kernel module is loaded. Librados finds the configurations as $HOME/.ceph/<cluster>.conf, with
// HOME pointing into the lab; so `--cluster primary` works for every tool, and for the look-up that
// rbd-mirror makes of its peer.
//
// # Ending
//
// A lab never outlives its owner:
//
//   - every daemon is a direct child, started from one locked thread with PDEATHSIG=KILL, so it dies
//     when the owner dies, however the owner dies;
//   - a reaper (a shell that waits for the end of file of a pipe) removes the directory after that;
//   - the lab's directory is locked; a directory whose lock is free was left by a machine that lost
//     owner and reaper at once, and the next Up removes it.
//
// # Several labs
//
// Each lab takes a range of 200 ports below the ephemeral range, reserved by a lock on a file, so
// labs of several test processes run side by side.
//
// # What is not like a real site
//
// One copy of the data (pool size 1), one OSD, short paxos and rbd-mirror intervals. Bluestore is
// used, not memstore: memstore's placement groups do not come back after a restart.
package ceph
