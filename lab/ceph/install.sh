#!/bin/sh
# Installs what the Ceph lab needs, from the distribution's own packages. Ceph 16.2 is what
# Debian 12 carries and what this lab was proven on. No service is started or enabled: the lab
# runs its own daemons, as children, from its own directory.
set -eu
need=
for tool in ceph-mon ceph-mgr ceph-osd ceph ceph-authtool monmaptool rbd rbd-mirror; do
	command -v "$tool" >/dev/null 2>&1 || need="$need $tool"
done
if [ -z "$need" ]; then
	echo "ceph lab: all tools present: $(ceph --version)"
	exit 0
fi
if [ "$(id -u)" != 0 ]; then
	echo "ceph lab: missing:$need. Run as root: $0" >&2
	exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo "ceph lab: missing:$need. Install the mon, mgr, osd, common and rbd-mirror packages of Ceph >= 16.2" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# A policy that forbids starting services, only for the time of the installation, and only where
# the machine has none of its own.
policy=/usr/sbin/policy-rc.d
made_policy=
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	made_policy=yes
fi
trap '[ -z "$made_policy" ] || rm -f "$policy"' EXIT INT TERM
apt-get -qq update
apt-get install -y -qq --no-install-recommends ceph-mon ceph-mgr ceph-osd ceph-common rbd-mirror
ceph --version
