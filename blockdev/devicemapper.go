package blockdev

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MapperInfo is what device-mapper says of one of its devices.
type MapperInfo struct {
	Name      string
	UUID      string
	OpenCount int // openers of the device, mounts and stacked devices included
	ReadOnly  bool
	Suspended bool
	// PendingTable: an inactive table is loaded. Resuming would swap it in.
	PendingTable bool
}

// ErrNoMapper: the kernel here has no device-mapper, or we may not talk to it.
var ErrNoMapper = errors.New("device-mapper is not available")

// struct dm_ioctl of <linux/dm-ioctl.h>, version 4: offsets of the fields used.
const (
	dmIoctlBytes    = 312
	dmVersionAt     = 0
	dmDataSizeAt    = 12
	dmOpenCountAt   = 24
	dmFlagsAt       = 28
	dmDevAt         = 40
	dmNameAt        = 48
	dmNameBytes     = 128
	dmUUIDAt        = 176
	dmUUIDBytes     = 129
	dmReadOnly      = 1 << 0
	dmSuspended     = 1 << 1
	dmInactiveTable = 1 << 6
)

// Mapper asks device-mapper about the device with this number. ok is false for a device that
// is not device-mapper's.
func Mapper(major, minor uint32) (info MapperInfo, ok bool, err error) {
	ctl, err := os.OpenFile("/dev/mapper/control", os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return info, false, fmt.Errorf("%w: %w", ErrNoMapper, err)
	}
	defer ctl.Close()
	var req [dmIoctlBytes]byte
	binary.NativeEndian.PutUint32(req[dmVersionAt:], 4)
	binary.NativeEndian.PutUint32(req[dmDataSizeAt:], dmIoctlBytes)
	// huge_encode_dev: 20 minor bits split round 12 major bits.
	dev := uint64(minor&0xff) | uint64(major)<<8 | uint64(minor&^0xff)<<12
	binary.NativeEndian.PutUint64(req[dmDevAt:], dev)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, ctl.Fd(), unix.DM_DEV_STATUS, uintptr(unsafe.Pointer(&req[0])))
	switch {
	case errno == unix.ENXIO:
		return info, false, nil
	case errno != 0:
		return info, false, fmt.Errorf("device-mapper status of %d:%d: %w", major, minor, errno)
	}
	flags := binary.NativeEndian.Uint32(req[dmFlagsAt:])
	return MapperInfo{
		Name:         textUntilNUL(req[dmNameAt : dmNameAt+dmNameBytes]),
		UUID:         textUntilNUL(req[dmUUIDAt : dmUUIDAt+dmUUIDBytes]),
		OpenCount:    int(int32(binary.NativeEndian.Uint32(req[dmOpenCountAt:]))),
		ReadOnly:     flags&dmReadOnly != 0,
		Suspended:    flags&dmSuspended != 0,
		PendingTable: flags&dmInactiveTable != 0,
	}, true, nil
}

func textUntilNUL(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
