// Package session is the protocol between ddsgo and ddsgo serve --stdio.
package session
