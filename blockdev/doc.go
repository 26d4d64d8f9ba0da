// Package blockdev opens volumes for reading and writing.
package blockdev
