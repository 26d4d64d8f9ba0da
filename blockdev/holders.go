package blockdev

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// HolderKind is how a volume is held.
type HolderKind string

// The kinds, in the order in which Holders lists them.
const (
	HeldByMount     HolderKind = "mount"     // a file system is mounted
	HeldBySwap      HolderKind = "swap"      // swap space
	HeldByDevice    HolderKind = "device"    // another block device is stacked on it
	HeldByOpen      HolderKind = "open"      // device-mapper counts openers
	HeldExclusively HolderKind = "exclusive" // an exclusive open is refused
)

// Holder is one user of a volume.
type Holder struct {
	Kind   HolderKind `json:"kind"`
	Detail string     `json:"detail"` // the mount point, the device, the count
}

// String is for messages: "mounted on /srv".
func (h Holder) String() string {
	switch h.Kind {
	case HeldByMount:
		return "mounted on " + h.Detail
	case HeldBySwap:
		return "used as swap"
	case HeldByDevice:
		return "part of " + h.Detail
	case HeldByOpen:
		return "open " + h.Detail
	case HeldExclusively:
		return "held exclusively by another user"
	}
	return string(h.Kind) + " " + h.Detail
}

// Holders lists who uses the volume at path now; an empty list means that nobody can be
// seen. Call it while this process does not have the volume open: its own descriptors count.
// For a file, only loop devices on it can be seen.
func Holders(path string) ([]Holder, error) {
	s := thisSystem()
	id, err := s.identity(path)
	if err != nil {
		return nil, err
	}
	if id.IsFile() {
		return s.loopsOn(id)
	}
	held, err := s.holders(id)
	if err != nil {
		return nil, err
	}
	if len(held) == 0 {
		busy, err := exclusiveRefused(path)
		if err != nil {
			return nil, err
		}
		if busy {
			held = append(held, Holder{Kind: HeldExclusively, Detail: id.Path})
		}
	}
	return held, nil
}

func exclusiveRefused(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EBUSY) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, f.Close()
}

// holders gathers what proc, sysfs and device-mapper say of a block device.
func (s system) holders(id VolumeIdentity) ([]Holder, error) {
	numbers := append([][2]uint32{{id.Major, id.Minor}}, s.partitions(id)...)
	held, err := s.mounts(numbers)
	if err != nil {
		return nil, err
	}
	swaps, err := s.swaps(numbers)
	if err != nil {
		return nil, err
	}
	held = append(held, swaps...)
	for _, n := range numbers {
		names, err := os.ReadDir(filepath.Join(s.block(n[0], n[1]), "holders"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		for _, name := range names {
			detail := name.Name()
			if dm, err := attribute(filepath.Join(s.block(n[0], n[1]), "holders", detail, "dm/name")); err == nil && dm != "" {
				detail = dm
			}
			held = append(held, Holder{Kind: HeldByDevice, Detail: detail})
		}
	}
	if id.MapperName == "" && id.MapperUUID == "" {
		return held, nil
	}
	info, ok, err := s.mapper(id.Major, id.Minor)
	if err != nil {
		return nil, err
	}
	if ok && info.OpenCount > 0 {
		held = append(held, Holder{Kind: HeldByOpen, Detail: countTimes(info.OpenCount)})
	}
	return held, nil
}

func countTimes(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// partitions is the numbers of the partitions of a disk: a mount of one holds the disk.
func (s system) partitions(id VolumeIdentity) [][2]uint32 {
	var numbers [][2]uint32
	files, err := filepath.Glob(filepath.Join(s.block(id.Major, id.Minor), "*", "partition"))
	if err != nil {
		return nil // the pattern is constant: cannot happen
	}
	for _, f := range files {
		dev, err := attribute(filepath.Join(filepath.Dir(f), "dev"))
		if err != nil {
			continue // it went away
		}
		if n, ok := parseNumber(dev); ok {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

func parseNumber(text string) (n [2]uint32, ok bool) {
	major, minor, found := strings.Cut(text, ":")
	a, errA := strconv.ParseUint(major, 10, 32)
	b, errB := strconv.ParseUint(minor, 10, 32)
	return [2]uint32{uint32(a), uint32(b)}, found && errA == nil && errB == nil
}

// mounts finds mounts by device number and, because some file systems (btrfs) show a number
// of their own, by the source's number.
func (s system) mounts(numbers [][2]uint32) ([]Holder, error) {
	f, err := os.Open(filepath.Join(s.proc, "self/mountinfo"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var held []Holder
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		// 36 35 98:0 /root /mnt rw,noatime shared:1 - ext4 /dev/root rw   (proc(5))
		before, after, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 2 {
			continue
		}
		n, ok := parseNumber(left[2])
		if (ok && isOneOf(n, numbers)) || s.names(unescape(right[1]), numbers) {
			held = append(held, Holder{Kind: HeldByMount, Detail: unescape(left[4])})
		}
	}
	return held, lines.Err()
}

func (s system) swaps(numbers [][2]uint32) ([]Holder, error) {
	text, err := attribute(filepath.Join(s.proc, "swaps"))
	if err != nil {
		return nil, err
	}
	var held []Holder
	for _, line := range strings.Split(text, "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && s.names(unescape(fields[0]), numbers) {
			held = append(held, Holder{Kind: HeldBySwap, Detail: unescape(fields[0])})
		}
	}
	return held, nil
}

// names says that path is a block device with one of the numbers.
func (s system) names(path string, numbers [][2]uint32) bool {
	if !strings.HasPrefix(path, "/") {
		return false
	}
	major, minor, err := s.deviceNumber(path)
	return err == nil && isOneOf([2]uint32{major, minor}, numbers)
}

func isOneOf(n [2]uint32, numbers [][2]uint32) bool {
	for _, o := range numbers {
		if n == o {
			return true
		}
	}
	return false
}

// unescape undoes the octal escapes of mountinfo and swaps: \040 is a space.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// loopsOn lists the loop devices whose backing file is this file.
func (s system) loopsOn(id VolumeIdentity) ([]Holder, error) {
	files, err := filepath.Glob(filepath.Join(s.sys, "block/loop*/loop/backing_file"))
	if err != nil {
		return nil, err
	}
	var held []Holder
	for _, f := range files {
		backing, err := attribute(f)
		if err != nil || backing == "" {
			continue // it went away
		}
		if o, err := s.identity(backing); err == nil && o.Same(id) {
			held = append(held, Holder{Kind: HeldByDevice, Detail: filepath.Base(filepath.Dir(filepath.Dir(f)))})
		}
	}
	return held, nil
}
