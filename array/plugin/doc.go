// Package plugin runs drivers that are programs of their own.
//
// The program ddsgo-driver-NAME is started once for every call. It reads one JSON object
// from standard input and writes exactly one to standard output; what it writes to
// standard error is log. The package is the specification of the protocol; a walk
// through a whole driver is docs/drivers.md.
//
//	stdin   {"protocol": 1, "op": "capabilities" | "observe" | "plan" | "do", "deadline": TIME,
//	         "resource": {"name", "mode", "sites": [HOME, OTHER], "site_config": {SITE: {...}}, "config": {...}},
//	         "goal": {...},         op plan: array.Goal
//	         "observation": {...},  op plan: array.Observation, as observe returned it
//	         "step": {...}}         op do: array.Step, as plan returned it
//	stdout  {"protocol": 1, "result": {...}}
//	     or {"protocol": 1, "error": {"kind": KIND, "reason": TEXT, "next": COMMAND, "rule": R1...R8}}
//
// The results are array.Capabilities, array.Observation, array.Plan, and for do nothing.
// KIND is refused, unsupported, unreachable, array, config or internal. The exit status
// is 0 whenever the object was written; anything else, and anything but one JSON object,
// is kind internal.
//
//   - Keys that a side does not know are ignored; a value that is not known means
//     "unknown".
//   - More than MaxAnswer bytes are refused.
//   - At the deadline the program's whole process group is killed. What became of a step
//     then is not known: ddsgo observes again.
//   - plan is pure: the same input gives the same answer, and nothing is touched.
//   - do may be called again with the same step.
//   - Secrets stand neither in arguments nor in the environment: the configuration
//     names files.
//
// A program is looked for in a list of directories, or named by its absolute path. The
// file and its directory must belong to root (or to the user who runs ddsgo) and must
// not be writable for group or others: whoever can change a driver can do what ddsgo may
// do.
package plugin
