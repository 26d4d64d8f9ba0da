// Package lvm creates, finds, changes and removes logical volumes and classic (thick) snapshots, and looks at the
// device-mapper devices under them. It runs lvm(8) and dmsetup(8); it parses their reports, never their messages.
//
// # Words
//
//	LV          a logical volume as LVM's metadata describes it, told by its UUID; names change
//	origin      an LV with at least one snapshot
//	dm device   what the kernel runs. A snapshot "s" of "o" in group "vg" is four of them:
//
//	    vg-o        snapshot-origin ──────────┐
//	    vg-o-real   linear: the origin's data ◄┴─┐   uuid LVM-<vg uuid><lv uuid>-real
//	    vg-s        snapshot ────────────────────┤   uuid LVM-<vg uuid><lv uuid>
//	    vg-s-cow    linear: the exception store ◄┘   uuid LVM-<vg uuid><lv uuid>-cow
//
//	live table      what the kernel serves now
//	inactive table  loaded, and taken into use by the next resume: "pending" here
//	plain LV        neither a snapshot nor an origin
//
// In a dm name every '-' of the group's and the volume's own name is doubled. A dm UUID survives renames, so
// devices are matched with LVs by UUID.
//
// # Rules
//
//  1. Success or failure is the exit status: 0 is success, 5 is failure or refusal, 3 is a command line that this LVM
//     does not know. Text on stderr is no failure (LVM warns a lot).
//  2. A command that changes something gets the held lock's descriptor as standard input. LVM closes the descriptors
//     that it inherits above 2, so only there does the lock outlive a killed parent for as long as its child works.
//  3. A command that changes something is not ended by the context once it runs: a SIGKILLed lvcreate is the very
//     damage that Recover exists for. The context is looked at before.
//  4. Removal names the UUID, not only the name: what got the name meanwhile is not removed.
//  5. Nothing suspends or resumes a device that has a pending table which it did not load itself.
//
// # Half-done states, and how they are told
//
//	killed lvcreate -s      plain LV with the run's tag; the origin may have a pending table and may be suspended;
//	                        "-real" without a live table. A resume of the origin then would answer every write with EIO:
//	                        clear first (Recover)
//	  the same, later       committed: the report shows a good snapshot, but the origin is suspended and the tables of
//	                        both are pending. Finished by resuming "-real", "-cow", snapshot, origin (Recover); its
//	                        device nodes may be missing
//	half lvremove           the snapshot is a plain, inactive LV without origin; when its "-cow" was held open, that device
//	                        stays as an orphan, and later blocks lvcreate under the same name ("Manual intervention required")
//	overflowed              attr state I or S, dm status Invalid; percent 100 alone is not yet that
//	miswired                the report shows a good snapshot, but its origin runs a table that bypasses it (CheckWiring)
//	merging                 attr type S (snapshot) and O (origin); the exception store drains, so it says nothing about changes
//
// # Not guaranteed
//
// Another administrator's LVM command can come between a look and an act; LVM's own group lock covers single
// commands only. Thin snapshots are only reported.
package lvm
