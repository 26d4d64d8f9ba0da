// Package blockdevtest is the conformance suite that every blockdev.Device passes: block
// devices, files, memory, and wrappers alike. A test of an implementation is a constructor
// and a call of Run.
package blockdevtest
