// Package extent holds byte ranges of a volume: extents, sets of them, and the
// durable changed-set file.
package extent
