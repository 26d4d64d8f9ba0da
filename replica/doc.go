// Package replica is the control path: it plans and executes what happens to a replica.
package replica
