// Package lab gives tests real block storage: loop devices, volume groups, faulty device-mapper targets, network
// namespaces, an sshd. Everything but this comment has the build tag "lab".
//
// # Where it runs
//
//	make lab                        lab/run.sh: builds the test binaries of all packages that use this one, then
//	  this kernel has dm-snapshot     runs them here, as root (lab/direct.sh says whether)
//	  else linux.uml is installed     runs them inside user-mode Linux (lab/uml/run.sh), one boot for all
//	  else                            prints SKIP and how many tests that leaves out; with LAB=required it fails
//
// The same binaries run in both places; lab/exec.sh runs them and fails when anything is left behind. Only tests in
// files with the line "//go:build lab" are run, from the directory of their package. DDSGO_LAB_OUT names a directory
// whose content survives the guest.
//
// # What it touches
//
// Nothing but its own. Every object has the prefix "ddsgolab" and the process id of the test binary:
//
//	/dev/shm/ddsgolab.PID/          images of the disks, keys, configurations
//	ddsgolabPID_N                   volume groups;   ddsgolabPID-N      device-mapper devices
//	ddsgolabPIDnN-a, -b             network namespaces
//
// LVM gets a configuration (LVM_SYSTEM_DIR) whose filter accepts the lab's own loop devices and rejects everything
// else, so a volume group of the host cannot even be seen. Each test removes what it made (t.Cleanup); what a killed
// run left is swept at the start of the next one, told by the process id being dead.
//
// # User-mode Linux
//
// A SIGKILLed user-mode Linux can set its guest processes free on the host, as root, with the guest's code.
// lab/uml/shim.c (PTRACE_O_EXITKILL) and lab/uml/run.sh (a PID namespace of its own) each prevent that. Never start
// linux.uml without them. In the guest there is one CPU and no true parallelism: races do not show there. System
// calls are 4 to 15 times slower: no figure for speed may come from there.
package lab
