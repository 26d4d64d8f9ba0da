// Package mem is a volume in memory for tests, which can show what a power cut leaves of it.
//
// A write reaches the volume's present content at once and its durable content only at Sync.
// CrashClone is a volume as it may be found after a power cut at this instant: of everything
// since the last Sync, each 512-byte sector of each write either arrived or did not, in any
// combination, also across writes: later ones may be there and earlier ones lost. A sector
// itself is never torn, as disks promise. The choice is seeded: one seed, one outcome.
package mem
