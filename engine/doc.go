// Package engine is the data path of ddsgo.
package engine
