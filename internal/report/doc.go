// Package report holds the data that ddsgo tells about itself: the status of
// resources, the steps and the summary of a verb. These structs are the only source
// for terminal, JSON, web page and metrics; the JSON names are an interface for
// scripts and change only together with SchemaVersion.
//
// Every key is always present. A number that is not known is null, never 0.
package report
