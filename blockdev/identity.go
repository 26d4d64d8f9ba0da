package blockdev

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// VolumeIdentity tells which volume a path names at this moment.
type VolumeIdentity struct {
	// Path is canonical: absolute, no symbolic links.
	Path string `json:"path"`
	// Major and Minor are of the block device; 0 for a file.
	Major uint32 `json:"major,omitempty"`
	Minor uint32 `json:"minor,omitempty"`
	// MapperName and MapperUUID are device-mapper's; empty for other devices.
	MapperName string `json:"dm_name,omitempty"`
	MapperUUID string `json:"dm_uuid,omitempty"`
	// FileSystem and Inode identify a regular file.
	FileSystem uint64 `json:"st_dev,omitempty"`
	Inode      uint64 `json:"inode,omitempty"`
}

// IsFile says that the volume is a regular file.
func (v VolumeIdentity) IsFile() bool { return v.Inode != 0 }

// Key names the volume for locks and stamps, as lastingly as its kind allows: the
// device-mapper UUID outlives renames and reboots, and for other devices the canonical path
// is used, because device numbers change from boot to boot.
func (v VolumeIdentity) Key() string {
	if v.MapperUUID != "" {
		return "dm:" + v.MapperUUID
	}
	return "path:" + v.Path
}

// Same says that both are one volume now, whatever the paths: for telling that a source and
// a target are the same thing.
func (v VolumeIdentity) Same(o VolumeIdentity) bool {
	if v.IsFile() || o.IsFile() {
		return v.IsFile() && o.IsFile() && v.FileSystem == o.FileSystem && v.Inode == o.Inode
	}
	return v.Major == o.Major && v.Minor == o.Minor
}

// Identity finds out which volume path names.
func Identity(path string) (VolumeIdentity, error) { return thisSystem().identity(path) }

func (s system) identity(path string) (VolumeIdentity, error) {
	k, err := kindOf(path)
	if err != nil {
		return VolumeIdentity{}, err
	}
	canonical, err := filepath.Abs(path)
	if err == nil {
		canonical, err = filepath.EvalSymlinks(canonical)
	}
	if err != nil {
		return VolumeIdentity{}, fmt.Errorf("%s: %w", path, err)
	}
	v := VolumeIdentity{Path: canonical}
	if k == kindFile {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			return VolumeIdentity{}, &os.PathError{Op: "stat", Path: path, Err: err}
		}
		v.FileSystem, v.Inode = st.Dev, st.Ino
		return v, nil
	}
	if v.Major, v.Minor, err = s.deviceNumber(path); err != nil {
		return VolumeIdentity{}, err
	}
	dir := s.block(v.Major, v.Minor)
	if v.MapperName, err = attribute(filepath.Join(dir, "dm/name")); err != nil {
		return VolumeIdentity{}, fmt.Errorf("%s: %w", path, err)
	}
	if v.MapperUUID, err = attribute(filepath.Join(dir, "dm/uuid")); err != nil {
		return VolumeIdentity{}, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}
