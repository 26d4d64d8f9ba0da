// Package fakeimage is a fake of the part of the rbd and ceph command lines that moves data: images
// with content, snapshots and metadata in memory, diffs between snapshots, import and roll-back. It
// behaves as Ceph 16.2.15 did in the lab, and shares no code with package delta:
//
//   - import-diff refuses a missing start snapshot (rc 22) and an existing end snapshot (rc 17), and
//     leaves what came before a cut;
//   - diff lists what was written anew, also with the same content; a roll-back writes;
//   - diff does not list growth that was never written;
//   - a failure prints `[]` beside its exit status;
//   - the watch of a client that died stays for a while.
//
// A World is one cluster. CutAt makes the client die at its n-th change, before it, in the middle of
// it, or after it: from then on nothing answers until Revive.
package fakeimage
