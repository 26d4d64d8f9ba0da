// Package fake is a replicated pair in memory, and the driver for it: the shortest
// complete example of array.Driver.
//
// Pair is the storage: two sides with contents, roles, a link, copies that take
// (virtual) time, and native commands that succeed or fail as those of a real array do.
// Driver knows nothing of its inside: it sees only what Pair tells, as a real driver
// sees only an array's answers. Read driver.go first, then plan.go.
//
// # The storage's rules
//
// Content is the list of writes, oldest first. A copy takes the primary's content when
// it starts and appears on the secondary as a whole when it ends; every copy that ends
// raises the pair's sync point. A demoted side drains: what the secondary lacks is
// copied after the demotion, so that a swap loses nothing. A side that was away comes
// back as it was: primary, if it was primary.
//
// Pair counts how often both sides accepted writes by the effect of a command, so that
// tests need not trust the driver's own words (Violations).
package fake
