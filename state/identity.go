package state

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// IdentityKind says what makes a volume recognisable.
type IdentityKind string

// The kinds of identity, best first.
const (
	IdentityLV     IdentityKind = "lv"     // UUID of a logical volume: survives renames and reboots
	IdentityDM     IdentityKind = "dm"     // UUID of another device-mapper device
	IdentityWWID   IdentityKind = "wwid"   // worldwide id that a disk reports
	IdentityLoop   IdentityKind = "loop"   // loop device: the identity of its backing file
	IdentityDevice IdentityKind = "device" // any other device: its number, valid until reboot
	IdentityFile   IdentityKind = "file"   // file system, inode and birth time
)

// Identity recognises a volume independently of its path.
type Identity struct {
	Kind IdentityKind `json:"kind"`
	ID   string       `json:"id"`
}

// maxIdentity bounds an identity so that its key is a valid file name.
const maxIdentity = 180

var identityForm = regexp.MustCompile(`^[A-Za-z0-9_.+:-]+$`)

// LV is the identity of the logical volume with this UUID (LVM's dashed form).
func LV(uuid string) Identity { return Identity{Kind: IdentityLV, ID: uuid} }

// String is "kind-id": the form used between hosts and as a file name.
func (i Identity) String() string { return string(i.Kind) + "-" + i.ID }

// IsZero says that nothing is identified.
func (i Identity) IsZero() bool { return i.ID == "" }

// Validate refuses an identity that could not be a file name.
func (i Identity) Validate() error {
	switch i.Kind {
	case IdentityLV, IdentityDM, IdentityWWID, IdentityLoop, IdentityDevice, IdentityFile:
	default:
		return fmt.Errorf("%w: identity kind %q", ErrInvalid, i.Kind)
	}
	if len(i.ID) > maxIdentity || !identityForm.MatchString(i.ID) {
		return fmt.Errorf("%w: identity %q", ErrInvalid, i.ID)
	}
	return nil
}

// ParseIdentity is the inverse of Identity.String.
func ParseIdentity(s string) (Identity, error) {
	kind, id, _ := strings.Cut(s, "-")
	i := Identity{Kind: IdentityKind(kind), ID: id}
	return i, i.Validate()
}

// Identify finds the identity of the block device or regular file at path.
func Identify(path string) (Identity, error) { return identify(path, "/sys/dev/block") }

func identify(path, sysfs string) (Identity, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st); err != nil {
		return Identity{}, &os.PathError{Op: "identify", Path: path, Err: err}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return identifyFile(path, &st)
	case unix.S_IFBLK:
		return identifyDevice(filepath.Join(sysfs, fmt.Sprintf("%d:%d", st.Rdev_major, st.Rdev_minor)), st.Rdev_major, st.Rdev_minor)
	}
	return Identity{}, fmt.Errorf("%s is neither a block device nor a regular file", path)
}

// identifyFile uses the birth time beside the inode, which a file system may give
// to another file, and the file system's own id, which survives a reboot better
// than the number of the device below it.
func identifyFile(path string, st *unix.Statx_t) (Identity, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return Identity{}, &os.PathError{Op: "identify", Path: path, Err: err}
	}
	id := fmt.Sprintf("%08x%08x", uint32(fs.Fsid.Val[0]), uint32(fs.Fsid.Val[1]))
	if fs.Fsid.Val == [2]int32{} {
		id = fmt.Sprintf("dev%x.%x", st.Dev_major, st.Dev_minor)
	}
	id += fmt.Sprintf("-%d", st.Ino)
	if st.Mask&unix.STATX_BTIME != 0 {
		id += fmt.Sprintf("-%d.%09d", st.Btime.Sec, st.Btime.Nsec)
	}
	return Identity{Kind: IdentityFile, ID: id}, nil
}

func identifyDevice(dir string, major, minor uint32) (Identity, error) {
	if dm, err := sysfsText(filepath.Join(dir, "dm/uuid")); err != nil {
		return Identity{}, err
	} else if dm != "" {
		if uuid, ok := lvUUID(dm); ok {
			return LV(uuid), nil
		}
		return Identity{Kind: IdentityDM, ID: safeID(dm)}, nil
	}
	if backing, err := sysfsText(filepath.Join(dir, "loop/backing_file")); err != nil {
		return Identity{}, err
	} else if backing != "" {
		if f, err := Identify(backing); err == nil {
			return Identity{Kind: IdentityLoop, ID: f.ID}, nil
		}
	}
	for _, attr := range []string{"wwid", "device/wwid"} {
		id, err := sysfsText(filepath.Join(dir, attr))
		if err != nil {
			return Identity{}, err
		}
		if id != "" {
			return Identity{Kind: IdentityWWID, ID: safeID(id)}, nil
		}
	}
	boot, err := BootID()
	if err != nil {
		return Identity{}, err
	}
	return Identity{Kind: IdentityDevice, ID: fmt.Sprintf("%d.%d-%s", major, minor, boot)}, nil
}

// lvUUID takes the LV's UUID out of device-mapper's "LVM-" + VG + LV; layers of an
// LV (-real, -cow) carry a suffix and are not the volume.
func lvUUID(dm string) (string, bool) {
	rest, ok := strings.CutPrefix(dm, "LVM-")
	if !ok || len(rest) != 64 {
		return "", false
	}
	u := rest[32:]
	parts := make([]string, 0, 7)
	for _, n := range []int{6, 4, 4, 4, 4, 4, 6} {
		parts = append(parts, u[:n])
		u = u[n:]
	}
	return strings.Join(parts, "-"), true
}

// BootID is the kernel's id of this boot.
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	return string(bytes.TrimSpace(b)), nil
}

// safeID keeps an identity usable as a file name; what is replaced is told apart by
// its hexadecimal form.
func safeID(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < 0x80 && identityForm.Match([]byte{c}) && c != '+' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "+%02x", c)
	}
	return b.String()
}

// sysfsText reads an attribute; one that does not exist is "".
func sysfsText(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENXIO) {
		return "", nil
	}
	return string(bytes.TrimSpace(b)), err
}
