#!/bin/bash
# powercut-guest.sh ROUND SEED [last] -- what runs inside the machine whose power is cut, see powercut.sh. $LABDIR is the
# host's directory: what is written there is remembered by somebody whose power is not cut.
set -u
round=$1 seed=$2 last=${3:-}
S=/dev/src/app-data D=/dev/dst/copy
export PATH=$PATH:/usr/sbin:/sbin
die() { echo "boot $round: $*"; lvm lvs -a -o lv_name,vg_name,lv_attr,origin,snap_percent,lv_tags; dmsetup info -c; exit 1; }
cat >/tmp/ddsgo.yaml <<CONF
resources:
  app: {source: $S, snap_size: 100%, $([ $((round % 3)) != 2 ] || echo "direct: true, ")targets: [{device: $D, state_dir: /run/far, command: [$LABDIR/ddsgo]}]}
CONF
ddsgo() { "$LABDIR/ddsgo" --config /tmp/ddsgo.yaml --state-dir /run/near "$@"; }
sum() { dd if="$1" iflag=direct bs=1M status=none | sha256sum | cut -d' ' -f1; }
# holds prints the condition and the generation that the target claims.
holds() {
	{ ddsgo status --json | tr -d ' \n'; echo; } >/tmp/status
	sed -n 's/.*"condition":"\([a-z]*\)".*/\1/p' /tmp/status
	sed -n 's/.*"condition":"[a-z]*","generation":{"uuid":"\([^"]*\)".*/\1/p' /tmp/status
}
# remember tells the host which content a generation has.
remember() {
	{ read -r cond && read -r gen; } < <(holds)
	[ "$cond" = clean ] || die "after a sync the target is $cond"
	echo "$gen $(sum $D)" >>"$LABDIR/known"
}
write() { # somewhere, between 4 and 1024 KiB
	local blocks=$((RANDOM % 256 + 1))
	dd if=/dev/urandom of=$S bs=4k count=$blocks seek=$((RANDOM % 3800)) oflag=direct conv=notrunc status=none || die "a write to the source failed"
}

mkdir -p /run/near /run/far
RANDOM=$((seed * 100 + round))
if [ "$round" = 0 ]; then
	for vg in src:a dst:b; do
		lvm vgcreate -y -q --physicalextentsize 1m "${vg%:*}" "/dev/ubd${vg#*:}" >/dev/null || die "vgcreate"
		lvm lvcreate -y -q -L 16m -n state "${vg%:*}" >/dev/null && mkfs.ext4 -q "/dev/${vg%:*}/state" || die "state"
	done
	lvm lvcreate -y -q -L 16m -n app-data src >/dev/null && lvm lvcreate -y -q -L 16m -n copy dst >/dev/null || die "volumes"
	mount /dev/src/state /run/near && mount /dev/dst/state /run/far || die "mount"
	write
	ddsgo full app || die "full"
	remember
else
	lvm vgchange -q -ay >/dev/null || die "vgchange"
	mount /dev/src/state /run/near && mount /dev/dst/state /run/far || die "mount"
	{ read -r cond; read -r gen; } < <(holds)
	case $cond in
	clean)
		is=$(sum $D)
		snap=$(lvm lvs --noheadings -o lv_path -S "lv_uuid=$gen" 2>/dev/null | tr -d ' ')
		if grep -q "^$gen " "$LABDIR/known"; then
			grep -q "^$gen $is$" "$LABDIR/known" || die "the target claims $gen and is not"
		elif [ -n "$snap" ]; then
			[ "$(sum "$snap")" = "$is" ] || die "the target claims $gen and differs from $snap"
		else
			die "the target claims $gen, which nobody knows"
		fi ;;
	applying | inconsistent) ;;
	*) die "the target is ${cond:-silent}: $(cat /tmp/status)" ;;
	esac
	found=$cond
	write # an application comes back first
	ddsgo sync app || die "the first sync after the power cut"
	remember
	snap=$(lvm lvs --noheadings -o lv_path -S "lv_uuid=$(tail -n1 "$LABDIR/known" | cut -d' ' -f1)" | tr -d ' ')
	[ "$(sum "$snap")" = "$(sum $D)" ] || die "the target is not $snap"
	[ "$(lvm lvs --noheadings src | wc -l)" = 3 ] || die "left over on the source"
	[ "$(lvm lvs --noheadings dst | wc -l)" = 2 ] || die "left over on the target"
	[ -z "$(dmsetup info -c --noheadings -o suspended,name | grep -i ^suspended)" ] || die "a device is suspended"
	ddsgo verify app || die "verify"
	echo "boot $round: the target was $found; one sync, all is well"
fi
[ -z "$last" ] || exit 0
: >"$LABDIR/busy"
while :; do
	write
	ddsgo sync app >/dev/null || die "a sync in the loop"
	remember
done
