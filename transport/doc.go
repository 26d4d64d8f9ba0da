// Package transport connects ddsgo with a ddsgo on another machine.
package transport
