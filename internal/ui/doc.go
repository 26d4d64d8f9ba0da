// Package ui shows reports to people: the status table and the progress of a verb. It
// computes nothing: what it shows is in package report.
package ui
