// Package lvmfake is a machine with LVM and device-mapper in memory, for tests that need neither root nor a kernel.
// It answers the commands that package lvm sends (as a run.Runner) and serves the volumes' content as blockdev.Devices,
// with real exception stores: a write to an origin copies chunks into the store of each of its snapshots, in the bytes
// that the kernel would write (cow/cowtest).
//
// # What is modelled, as measured on real LVM (package lvm's lab tests run the same sequences there)
//
//	lvcreate -s   1 plain volume in the metadata   2 its start zeroed   3 new tables loaded, not in use
//	              4 origin suspended   5 metadata: a snapshot   6 tables in use, origin resumed
//	lvremove      1 metadata: a plain volume again, tables without it in use   2 "-cow" taken down, which fails (exit
//	              status 5) while someone has it open   3 metadata: gone
//
// A kill can come before each numbered step and leaves what was done until then. A resume takes a pending table into
// use, also one that leads to a "-real" without a table: then the origin answers EIO. I/O to a suspended device waits.
// LVM's refusals have exit status 5, wrong command lines 3, and every change prints a warning on stderr.
//
// # Crash points
//
// Every command has points: before it, inside it before each step (the command is SIGKILLed with its parent), after it
// (the parent is killed before it can look at the answer). CrashAt(n) makes the machine end the program at the n-th
// point: that command and all later ones answer ErrCrashed, until Restart. A test that runs a whole operation for n = 1,
// 2, 3... until no crash came has tried every instant. PowerCut also loses every device-mapper table.
package lvmfake
