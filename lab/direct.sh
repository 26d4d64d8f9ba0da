#!/bin/sh
# Exit status 0 if this kernel can run the LVM lab itself; otherwise says why not.
set -u
PATH=$PATH:/usr/sbin:/sbin
no() { echo "$1"; exit 1; }
[ "$(id -u)" = 0 ] || no "not root"
modprobe dm-snapshot 2>/dev/null; modprobe loop 2>/dev/null
[ -c /dev/mapper/control ] || no "/dev/mapper/control does not exist"
(: <>/dev/mapper/control) 2>/dev/null || no "/dev/mapper/control does not open"
command -v lvm >/dev/null || no "lvm is not installed"
command -v dmsetup >/dev/null || no "dmsetup is not installed"
dmsetup targets 2>/dev/null | grep -q '^snapshot ' || no "the kernel has no dm-snapshot"
[ -e /dev/loop-control ] || no "the kernel has no loop devices"
