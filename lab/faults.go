//go:build lab

package lab

import (
	"fmt"
	"strings"
	"testing"
)

// sector is device-mapper's unit.
const sector = 512

// Mapping is a device-mapper device whose table a test changes while it is in use.
type Mapping struct {
	Path string // /dev/mapper/NAME
	Name string
	t    testing.TB
	dev  string // what lies below
	size int64  // in sectors
}

// mapping makes a device over dev with the given table.
func mapping(t testing.TB, dev string, table func(m *Mapping) string) *Mapping {
	t.Helper()
	s := get(t)
	m := &Mapping{Name: s.name("-"), t: t, dev: dev}
	m.Path = "/dev/mapper/" + m.Name
	if _, err := fmt.Sscan(Run(t, "blockdev", "--getsz", dev), &m.size); err != nil {
		t.Fatal(err)
	}
	Run(t, "dmsetup", "create", m.Name, "--table", table(m))
	t.Cleanup(func() {
		_, _ = try("dmsetup", "clear", m.Name)
		_, _ = try("dmsetup", "resume", m.Name)
		if _, err := try("dmsetup", "remove", "--retry", m.Name); err != nil {
			t.Errorf("lab: cannot remove %s: %v", m.Name, err)
		}
		s.hide(m.Path)
	})
	return m
}

// Flaky makes a device that passes everything on to dev until told otherwise.
func Flaky(t testing.TB, dev string) *Mapping {
	t.Helper()
	return mapping(t, dev, (*Mapping).linear)
}

func (m *Mapping) linear() string { return fmt.Sprintf("0 %d linear %s 0", m.size, m.dev) }

// load swaps the table under open descriptors, without freezing a file system above.
func (m *Mapping) load(table string) {
	m.t.Helper()
	Run(m.t, "dmsetup", "suspend", "--nolockfs", m.Name)
	_, err := try("dmsetup", "load", m.Name, "--table", table)
	Run(m.t, "dmsetup", "resume", m.Name)
	if err != nil {
		m.t.Fatalf("lab: table %q: %v", table, err)
	}
}

// flakey is the target with no up interval: the features hold at all times.
func (m *Mapping) flakey(features string) {
	m.t.Helper()
	m.load(fmt.Sprintf("0 %d flakey %s 0 0 1 %s", m.size, m.dev, features))
}

// Allow passes everything on again.
func (m *Mapping) Allow() { m.t.Helper(); m.load(m.linear()) }

// ErrorWrites fails every write with EIO; reads go on.
func (m *Mapping) ErrorWrites() { m.t.Helper(); m.flakey("1 error_writes") }

// DropWrites loses every write and reports success, flushes too.
func (m *Mapping) DropWrites() { m.t.Helper(); m.flakey("1 drop_writes") }

// ErrorAll fails reads and writes with EIO.
func (m *Mapping) ErrorAll() { m.t.Helper(); m.load(fmt.Sprintf("0 %d error", m.size)) }

// CorruptWrites sets one byte (the nth, from 1) of every write to value.
func (m *Mapping) CorruptWrites(nth int, value byte) {
	m.t.Helper()
	m.flakey(fmt.Sprintf("5 corrupt_bio_byte %d w %d 0", nth, value))
}

// ErrorRange fails everything within [off, off+length) with EIO, bytes in multiples of 512.
func (m *Mapping) ErrorRange(off, length int64) { m.t.Helper(); m.load(m.hole(off, length)) }

// ErrorWritesIn and DropWritesIn are ErrorWrites and DropWrites for the range [off, off+length) alone, bytes in multiples
// of 512: a volume's content fails while LVM's metadata in front of it does not.
func (m *Mapping) ErrorWritesIn(off, length int64) {
	m.t.Helper()
	m.load(m.within(off, length, fmt.Sprintf("flakey %s %d 0 1 1 error_writes", m.dev, off/sector)))
}

// DropWritesIn loses the range's writes and reports success.
func (m *Mapping) DropWritesIn(off, length int64) {
	m.t.Helper()
	m.load(m.within(off, length, fmt.Sprintf("flakey %s %d 0 1 1 drop_writes", m.dev, off/sector)))
}

func (m *Mapping) hole(off, length int64) string { return m.within(off, length, "error") }

// within is a table that has a target of its own for [off, off+length) and passes the rest on.
func (m *Mapping) within(off, length int64, target string) string {
	first, n := off/sector, length/sector
	var lines []string
	if first > 0 {
		lines = append(lines, fmt.Sprintf("0 %d linear %s 0", first, m.dev))
	}
	lines = append(lines, fmt.Sprintf("%d %d %s", first, n, target))
	if end := first + n; end < m.size {
		lines = append(lines, fmt.Sprintf("%d %d linear %s %d", end, m.size-end, m.dev, end))
	}
	return strings.Join(lines, "\n")
}

// Suspend holds every request back until Resume: a disk that does not answer.
func (m *Mapping) Suspend() {
	m.t.Helper()
	Run(m.t, "dmsetup", "suspend", "--nolockfs", "--noflush", m.Name)
}

// Resume ends Suspend.
func (m *Mapping) Resume() { m.t.Helper(); Run(m.t, "dmsetup", "resume", m.Name) }

// DMError makes a device over dev with a bad range: EIO within [off, off+length), in multiples of 512.
func DMError(t testing.TB, dev string, off, length int64) *Mapping {
	t.Helper()
	return mapping(t, dev, func(m *Mapping) string { return m.hole(off, length) })
}

// Short makes a device that shows only the first size bytes of dev.
func Short(t testing.TB, dev string, size int64) *Mapping {
	t.Helper()
	return mapping(t, dev, func(m *Mapping) string { m.size = size / sector; return m.linear() })
}

// Delay makes a device that answers each request after so many milliseconds.
func Delay(t testing.TB, dev string, read, write int) *Mapping {
	t.Helper()
	return mapping(t, dev, func(m *Mapping) string {
		return fmt.Sprintf("0 %d delay %s 0 %d %s 0 %d", m.size, dev, read, dev, write)
	})
}
