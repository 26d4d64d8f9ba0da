#!/bin/sh
# deactivate.sh VG DEVICE...: before `ddsgo start` on the other site, give the volumes up in the
# opposite order: tag, activation, reservation, registrations. File systems are unmounted before.
set -eu
[ $# -ge 2 ] || { echo "usage: deactivate.sh VG DEVICE..." >&2; exit 4; }
vg=$1
shift
key=0x$(cut -c1-15 "${MACHINE_ID:-/etc/machine-id}")
vgchange --deltag "@$(uname -n)" "$vg"
vgchange -a n "$vg"
sg_persist -n --out --release --param-rk="$key" --prout-type=5 "$1"
for dev; do sg_persist -n --out --register-ignore --param-rk="$key" "$dev"; done
