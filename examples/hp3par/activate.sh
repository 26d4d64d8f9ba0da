#!/bin/sh
# activate.sh VG DEVICE...: after `ddsgo start` or `ddsgo failover`, make this host the one that
# may use the volumes: register at every path, reserve (SCSI-3, type 5: write exclusive,
# registrants only), tag the volume group for this host, activate it.
set -eu
[ $# -ge 2 ] || { echo "usage: activate.sh VG DEVICE..." >&2; exit 4; }
vg=$1
shift
key=0x$(cut -c1-15 "${MACHINE_ID:-/etc/machine-id}")
for dev; do sg_persist -n --out --register-ignore --param-sark="$key" "$dev"; done
sg_persist -n --out --reserve --param-rk="$key" --prout-type=5 "$1"
vgchange --addtag "@$(uname -n)" "$vg"
vgchange -a y "$vg"
