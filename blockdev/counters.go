package blockdev

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// Counters is what the kernel counted for a block device since it appeared, in one boot.
type Counters struct {
	// BootID names the boot and, where the kernel tells (Linux 5.15), the device's appearance in
	// it: a logical volume that is deactivated and activated again counts from zero.
	BootID           string `json:"boot_id"`
	Writes           uint64 `json:"writes"`
	SectorsWritten   uint64 `json:"sectors_written"` // of 512 bytes
	Discards         uint64 `json:"discards"`
	SectorsDiscarded uint64 `json:"sectors_discarded"`
}

// Untouched says that nothing was written or discarded between the earlier counters and
// these. Counters of different boots prove nothing: then it is false.
func (c Counters) Untouched(earlier Counters) bool { return c == earlier && c.BootID != "" }

// ReadCounters reads the counters of the block device at path.
func ReadCounters(path string) (Counters, error) { return thisSystem().counters(path) }

// BootID is the identity of this boot of the machine.
func BootID() (string, error) { return thisSystem().bootID() }

func (s system) bootID() (string, error) {
	id, err := attribute(filepath.Join(s.proc, "sys/kernel/random/boot_id"))
	if err == nil && id == "" {
		err = fmt.Errorf("%s/sys/kernel/random/boot_id: no boot id", s.proc)
	}
	return id, err
}

// Fields of /sys/dev/block/M:m/stat (Documentation/block/stat.rst).
const (
	statWrites         = 4
	statSectorsWritten = 6
	statDiscards       = 11 // since Linux 4.18
	statSectorsDiscard = 13
)

func (s system) counters(path string) (Counters, error) {
	major, minor, err := s.deviceNumber(path)
	if err != nil {
		return Counters{}, err
	}
	boot, err := s.bootID()
	if err != nil {
		return Counters{}, err
	}
	file := filepath.Join(s.block(major, minor), "stat")
	text, err := attribute(file)
	if err != nil {
		return Counters{}, fmt.Errorf("%s: %w", path, err)
	}
	fields := strings.Fields(text)
	if len(fields) <= statSectorsWritten {
		return Counters{}, fmt.Errorf("%s: %s has %d fields, want at least %d", path, file, len(fields), statSectorsWritten+1)
	}
	c := Counters{BootID: boot}
	if seq, err := attribute(filepath.Join(s.block(major, minor), "diskseq")); err == nil && seq != "" {
		c.BootID += "/" + seq
	}
	for _, f := range []struct {
		at int
		to *uint64
	}{{statWrites, &c.Writes}, {statSectorsWritten, &c.SectorsWritten}, {statDiscards, &c.Discards}, {statSectorsDiscard, &c.SectorsDiscarded}} {
		if f.at >= len(fields) {
			continue // an older kernel, without discards
		}
		if *f.to, err = strconv.ParseUint(fields[f.at], 10, 64); err != nil {
			return Counters{}, fmt.Errorf("%s: %s, field %d: %w", path, file, f.at, err)
		}
	}
	return c, nil
}
