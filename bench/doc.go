// Package bench makes the volumes and changes that ddsgo is measured with, runs ddsgo and its
// peers on them, and compares the figures with the goals. It is not part of ddsgo.
//
// # Volumes
//
// A Volume is a function from offset to content: the same seed gives the same bytes on every
// machine, and any part of it can be made without the rest. Its extents of 256 KiB are each of
// one class: zero, hard text (words of a 2048-word vocabulary and numbers; zstd halves it and works
// hard), easy text (log lines; compresses tenfold), or random. The profile "mixed" is 40 % zero,
// 30 % hard text, 30 % random: a pessimistic volume, real ones compress better.
//
// Changes rewrite a share of the 4 KiB blocks, scattered one by one or in clusters, half with
// text and half with random bytes. The exception store of the snapshot that would have seen
// these writes is made by package cowtest, in the order of the writes.
//
// # What is measured
//
// CPU seconds of everything that a pipeline starts on both ends, sshd included, from a control
// group; wall time; the bytes of the stream; the peak memory of extract and of merge. All
// configurations of a comparison run interleaved (A B C A B C ...) and the median of the rounds
// is compared, because on a shared machine only ratios within one run mean something. After
// each run the target is compared with the source: a fast wrong answer is a failure.
//
// Files lie on tmpfs, so no disk is measured, but for verify and resync, whose goals are about a
// disk: there dd reads the same file in the same round. Wall times depend on the load of the machine;
// the goals are about CPU, bytes and memory.
package bench
