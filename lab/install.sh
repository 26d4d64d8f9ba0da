#!/bin/sh
# Installs what the LVM lab and the demo need, on Debian and its relatives. Does nothing where all is there.
# No service is started: the lab runs its own sshd, as a child, on loopback.
set -eu
need=
want() { # want PROGRAM PACKAGE
	command -v "$1" >/dev/null 2>&1 || case " $need " in *" $2 "*) ;; *) need="$need $2" ;; esac
}
PATH=$PATH:/usr/sbin:/sbin
want lvm lvm2
want dmsetup dmsetup
want thin_delta thin-provisioning-tools
want mkfs.ext4 e2fsprogs
want sshd openssh-server
want ssh openssh-client
want ip iproute2
want modprobe kmod
want losetup mount
want unshare util-linux
want pgrep procps
want make make
[ -x /usr/bin/python3 ] || need="$need python3" # the sample driver's language
# User-mode Linux and a compiler for its shim only where the kernel itself has no device-mapper.
if ! "$(dirname "$0")/direct.sh" >/dev/null 2>&1; then
	want linux.uml user-mode-linux
	want cc gcc
	[ -e /usr/include/stdio.h ] || need="$need libc6-dev"
fi
if [ -z "$need" ]; then
	echo "lab: every program that it needs is installed"
	exit 0
fi
if [ "$(id -u)" != 0 ]; then
	echo "lab: missing:$need. Run as root: $0" >&2
	exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo "lab: missing:$need. This script knows apt-get only: install them by your system's means" >&2
	exit 1
fi
echo "lab: installing$need"
export DEBIAN_FRONTEND=noninteractive
# A policy that forbids starting services, for the time of the installation, where there is none.
policy=/usr/sbin/policy-rc.d
made=
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	made=yes
fi
trap '[ -z "$made" ] || rm -f "$policy"' EXIT INT TERM
apt-get -qq update
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $need >/dev/null
