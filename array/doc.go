// Package array is the one interface to everything that keeps a copy of a volume
// on another site: LVM replicas, 3PAR remote copy groups, RBD mirroring, InfiniBox
// replicas, and drivers outside this program (plug-ins).
//
// # Words
//
//   - resource: one replicated thing that the configuration names: a volume, an image,
//     a remote copy group. It has two sides.
//   - side: one copy, on one site. Sites are named by the configuration; the first one
//     is home, where the resource lives when nothing is wrong.
//   - observation: what both sides said at one time. A side that does not answer is
//     part of it, not an error.
//   - goal: a verb with its parameters. Verbs that change the direction are goals,
//     not toggles: they name the site that shall be primary.
//   - step: one native command or request.
//   - plan: the steps that lead from an observation to a goal.
//   - sync point: a counter or a time that the storage itself keeps and that moves
//     when a copy is complete.
//
// # How a verb runs
//
// Run observes, asks the driver for a plan, checks the rules below, does the first
// step, and observes again, until the goal is reached, refused, or the deadline has
// passed. A fixed list of commands is never replayed: the next observation decides
// the next step. So a run that was killed between two steps is finished by the same
// verb, started on either site.
//
// # Rules that Run enforces for every driver
//
//   - R1: both sides are read before one is made writable. Failover is refused while
//     the other side answers and is primary or writable, unless forced. Start is a
//     relocation while the sites are joined, and a failover when they are split.
//   - R2: a planned verb takes write access from the old side before it gives it to
//     the new one. For a moment nobody writes; never two.
//   - R3: a step that overwrites writes which exist on one side only needs
//     Goal.Discard to name that site.
//   - R4: an update is complete when every member's sync point has moved past the one
//     read before the act. Where the storage keeps none (synchronous groups), when
//     replication runs and every member is synced in two successive observations
//     after the act.
//   - R5: update, break and resume never change the direction.
//   - R6: swap and failback need stopped writers: refused where writers are seen;
//     where they cannot be seen, Goal.WritersStopped must say so.
//   - R7: a step without a reply is followed by an observation, never by a repeat of
//     the step alone.
//   - R8: a direction verb whose goal holds already is nothing_to_do.
//
// # What a driver promises
//
// Capabilities and Plan are pure: no I/O, no clock, no memory of earlier calls. Observe
// changes nothing. Do sends one command and may be repeated. A driver marks a step
// with the site that gains write access (GrantsWrite), the one that loses it
// (TakesWrite), and the one whose own writes it overwrites (Overwrites); the rules
// rest on these marks and package arraytest checks that they are true.
//
// See docs/drivers.md for a walk through a whole driver, array/fake for one in memory,
// and array/arraytest for the suite that every driver has to pass.
package array
