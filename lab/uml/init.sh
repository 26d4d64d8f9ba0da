#!/bin/bash
# First program of the guest, started by run.sh as the kernel's init. Root is the host's own root,
# read-only. This makes it writable (an overlay on memory: the host never sees a change), loads the
# modules, configures LVM for a machine without udev, runs the script, and leaves its exit status
# in the directory that is shared with the host.
export PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LANG=C.UTF-8 TERM=dumb USER=root LOGNAME=root
run=$(dirname "$0")
. "$run/args" # LABDIR, MODULES, the caller's variables, and "set -- script args"

die() { echo "lab guest: $*"; halt -f --no-wtmp 2>/dev/null; echo o >/proc/sysrq-trigger; }

mount -t proc proc /proc && mount -t tmpfs -o size=90% stage /mnt || die "cannot mount /proc and /mnt"
mkdir -p /mnt/kmod/lib /mnt/upper /mnt/work /mnt/root
ln -s /usr/lib/uml/modules /mnt/kmod/lib/modules
modprobe -d /mnt/kmod overlay || die "no overlay module"
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work root /mnt/root || die "no overlay root"
cd /mnt/root && pivot_root . mnt || die "pivot_root failed"
cd /
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs -o size=90% shm /dev/shm
mount -t tmpfs run /run
mkdir -p /run/lock/lvm /run/lvm /run/sshd /tmp
chmod 1777 /tmp /dev/shm
[ -c /dev/fd ] || ln -sfn /proc/self/fd /dev/fd
ln -sfn /proc/self/fd/0 /dev/stdin; ln -sfn /proc/self/fd/1 /dev/stdout; ln -sfn /proc/self/fd/2 /dev/stderr
mkdir -p "$LABDIR"
mount -t hostfs -o "$LABDIR" none "$LABDIR" || die "cannot share $LABDIR with the host"
rm -rf /lib/modules; ln -sfn /usr/lib/uml/modules /lib/modules
for m in $MODULES; do modprobe "$m" 2>&1; done

mkdir -p /etc/lvm
# No udev here: LVM makes the device nodes itself. backup=0: nothing under /etc/lvm to restore from.
cat >/etc/lvm/lvm.conf <<'CONF'
activation { udev_sync=0 udev_rules=0 verify_udev_operations=1 monitoring=0 }
devices { dir="/dev" scan=["/dev"] use_devicesfile=0 obtain_device_list_from_udev=0 external_device_info_source="none" }
global { event_activation=0 }
backup { backup=0 archive=0 }
CONF
export LVM_SYSTEM_DIR=/etc/lvm DM_DISABLE_UDEV=1 LABDIR
hostname lab
ip link set lo up
cd "$LABDIR" || die "no $LABDIR"
bash "$@" </dev/null 2>&1
rc=$?
# The rename comes after the bytes: run.sh never reads half a status.
echo "$rc" >"$run/rc.tmp" && sync "$run/rc.tmp" && mv "$run/rc.tmp" "$run/rc"
sync
halt -f --no-wtmp >/dev/null 2>&1
# A minimal system has no halt. The power goes a moment later; the first process must not end before.
echo o >/proc/sysrq-trigger
sleep 30
