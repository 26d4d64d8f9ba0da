// Package state keeps what one end durably knows about each volume.
package state
