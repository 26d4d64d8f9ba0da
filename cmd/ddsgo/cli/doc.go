// Package cli is the command line of ddsgo: one file per verb.
//
// A verb's file holds its constructor (newXCommand), its options and a run
// function that takes the options and returns an error; nothing here knows how
// replication works. Errors become exit codes in one place, exitCode.
package cli
