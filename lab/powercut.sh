#!/bin/bash
# powercut.sh N [SEED] -- cuts the power of a whole machine N times. In user-mode Linux, on two disks that survive, a
# source is written to and synced without end; after a random time the machine is killed from outside, whatever it is
# doing, and booted again. After each boot the target has to be the generation that it claims or marked, and
# one plain `ddsgo sync` has to bring both ends together again. Needs root and user-mode Linux (lab/install.sh).
#
# The host's page cache survives, so this proves ordering and recovery; that flushes are in the right place is proven
# by TestFlushOrder. The machine dies by the pid that lab/uml/run.sh gives out for this: the first process of its own
# PID namespace, never the kernel's process alone (lab/doc.go says why).
set -u
here=$(dirname "$(readlink -f "$0")")
rounds=${1:-5} seed=${2:-1}
command -v "${UML_KERNEL:-linux.uml}" >/dev/null && [ "$(id -u)" = 0 ] || {
	echo "SKIP: power cuts: user-mode Linux is not installed or this is not root (lab/install.sh as root installs it)"
	[ "${LAB:-}" != required ] || exit 1
	exit 0
}
tmp=$(mktemp -d /var/tmp/ddsgo-powercut.XXXXXX) || exit 1
disks=$(mktemp -d "${UML_DISKS:-/dev/shm}/ddsgo-powercut.XXXXXX") || exit 1
machine=
cleanup() {
	[ -z "$machine" ] || { kill -TERM "$machine" 2>/dev/null; wait "$machine" 2>/dev/null; }
	rm -rf "$tmp" "$disks"
}
trap cleanup EXIT
trap 'exit 143' TERM HUP
trap 'exit 130' INT

(cd "$here/.." && CGO_ENABLED=0 go build -trimpath -o "$tmp/ddsgo" ./cmd/ddsgo) || exit 1
truncate -s 192M "$disks/source" "$disks/target"
cp "$here/powercut-guest.sh" "$tmp/guest.sh"
RANDOM=$seed
for ((round = 0; round <= rounds; round++)); do
	rm -f "$tmp/busy" "$tmp/pid"
	last=; [ "$round" != "$rounds" ] || last=last
	"$here/uml/run.sh" -t 420 -m 1G -w "$tmp" -d "$disks/source" -d "$disks/target" -P "$tmp/pid" \
		"$tmp/guest.sh" "$round" "$seed" $last >"$tmp/out.$round" 2>&1 &
	machine=$!
	# Wait until the checks of this boot are over and the machine is at work.
	while kill -0 "$machine" 2>/dev/null && [ ! -e "$tmp/busy" ]; do sleep 0.1; done
	if [ -n "$last" ] || [ ! -e "$tmp/busy" ]; then
		wait "$machine"; rc=$?; machine=
		sed 's/^/  /' "$tmp/out.$round"
		[ "$rc" = 0 ] && [ -n "$last" ] || { echo "powercut: boot $round FAILED, exit status $rc (SEED=$seed)"; exit 1; }
		break
	fi
	ms=$((RANDOM % 9000 + 200))
	sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
	kill -KILL "$(cat "$tmp/pid")" 2>/dev/null
	wait "$machine"; rc=$?; machine=
	sed 's/^/  /' "$tmp/out.$round" | grep -v 'the guest died before'
	[ "$rc" = 125 ] || { echo "powercut: the machine ended by itself, exit status $rc (SEED=$seed)"; exit 1; }
	echo "powercut: power cut $((round + 1)) after $ms ms of work"
done
echo "powercut: $rounds power cuts survived (SEED=$seed)"
