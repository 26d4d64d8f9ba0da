// Package cowtest makes exception stores as the kernel makes them, for tests and benchmarks.
//
// Snapshot is a model of the kernel's own code path (drivers/md/dm-snap-persistent.c,
// persistent_prepare_exception and persistent_commit_exception), written from that and not from
// package cow: it allocates, zeroes and writes areas in the kernel's order, on a disk that held
// something before. It shares nothing with the parser, so an error has to be made twice,
// differently, to go unnoticed. Images of real kernels are in cow/testdata/kernel.
package cowtest
