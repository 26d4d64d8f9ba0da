#!/bin/bash
# demo.sh DDSGO -- the main job from start to end on real LVM with a real sshd; called by run.sh.
# All it makes has the prefix ddsgodemo and is removed at the end, also after a failure. LVM sees nothing but the
# demo's own loop devices.
set -u
ddsgo=$1
size=${DEMO_MB:-256}
name=ddsgodemo$$
work=$(mktemp -d /dev/shm/$name.XXXXXX)
mnt=$work/mnt
loops=() sshd= load=
say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
fail() { echo "demo: FAILED: $*" >&2; exit 1; }
quiet() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "$*"; }; }
stop_load() { [ -z "$load" ] || { kill "$load" 2>/dev/null; wait "$load" 2>/dev/null; load=; }; }
cleanup() {
	rc=$?
	stop_load
	[ -z "$sshd" ] || kill "$sshd" 2>/dev/null
	mountpoint -q "$mnt" && umount "$mnt"
	for vg in ${name}a ${name}b; do lvm vgs "$vg" >/dev/null 2>&1 && lvm vgremove -ff -y "$vg" >/dev/null 2>&1; done
	for l in ${loops[@]+"${loops[@]}"}; do losetup -d "$l" 2>/dev/null; done
	rm -rf "$work"
	exit $rc
}
trap cleanup EXIT
trap 'exit 143' TERM HUP
trap 'exit 130' INT

say "two disks, two volume groups: $name""a is production, $name""b the disaster-recovery site"
mkdir -p "$work/lvm" "$mnt"
for d in a b; do
	truncate -s $((size * 3 + 64))M "$work/$d.img"
	loops+=("$(losetup -f --show "$work/$d.img")") || fail losetup
done
# In a guest without udev LVM makes its own device nodes; LVM_SYSTEM_DIR hides every other device.
udev=1; [ -e /run/udev/control ] || udev=0
cat >"$work/lvm/lvm.conf" <<C
devices { filter=[ "a|^${loops[0]}$|", "a|^${loops[1]}$|", "r|.*|" ] global_filter=[ "a|^${loops[0]}$|", "a|^${loops[1]}$|", "r|.*|" ]
  use_devicesfile=0 obtain_device_list_from_udev=0 external_device_info_source="none" }
activation { udev_sync=$udev udev_rules=$udev verify_udev_operations=$((1 - udev)) monitoring=0 }
global { event_activation=0 }
backup { backup=0 archive=0 }
C
export LVM_SYSTEM_DIR=$work/lvm LVM_SUPPRESS_FD_WARNINGS=1
[ $udev = 1 ] || export DM_DISABLE_UDEV=1
quiet lvm vgcreate -y "${name}a" "${loops[0]}"
quiet lvm vgcreate -y "${name}b" "${loops[1]}"
quiet lvm lvcreate -y -L "${size}m" -n appdata "${name}a"
quiet lvm lvcreate -y -L "${size}m" -n appdata "${name}b"
src=/dev/${name}a/appdata dst=/dev/${name}b/appdata
quiet mkfs.ext4 -q -F "$src"
quiet mount "$src" "$mnt"
lvm lvs -o vg_name,lv_name,lv_size "${name}a" "${name}b"

say "a real sshd on loopback, as host dr1, whose key may run ddsgo serve and nothing else"
mkdir -p /run/sshd "$work/ssh"
quiet ssh-keygen -q -t ed25519 -N '' -f "$work/ssh/host"
quiet ssh-keygen -q -t ed25519 -N '' -f "$work/ssh/user"
port=$((20000 + $$ % 20000))
cat >"$work/ssh/serve" <<C
#!/bin/sh
export LVM_SYSTEM_DIR=$LVM_SYSTEM_DIR DM_DISABLE_UDEV=${DM_DISABLE_UDEV-} PATH=/usr/sbin:/usr/bin:/sbin:/bin
[ -n "\$DM_DISABLE_UDEV" ] || unset DM_DISABLE_UDEV
exec "$ddsgo" --state-dir "$work/state-dr1" serve --stdio --allow-volume "$dst"
C
chmod 700 "$work/ssh/serve"
echo "restrict,command=\"$work/ssh/serve\" $(cat "$work/ssh/user.pub")" >"$work/ssh/authorized_keys"
cat >"$work/ssh/sshd_config" <<C
Port $port
ListenAddress 127.0.0.1
HostKey $work/ssh/host
AuthorizedKeysFile $work/ssh/authorized_keys
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile none
C
cat >"$work/ssh/config" <<C
Host dr1
  HostName 127.0.0.1
  Port $port
  User root
  IdentityFile $work/ssh/user
  IdentitiesOnly yes
  UserKnownHostsFile $work/ssh/known_hosts
C
echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 "$work/ssh/host.pub")" >"$work/ssh/known_hosts"
"$(command -v sshd)" -D -f "$work/ssh/sshd_config" -E "$work/ssh/log" &
sshd=$!
export DDSGO_SSH_CONFIG=$work/ssh/config DDSGO_CONFIG=$work/ddsgo.yaml DDSGO_STATE_DIR=$work/state
cat >"$DDSGO_CONFIG" <<C
resources:
  appdata:
    source: $src
    snap_size: 60%
    targets:
      - host: dr1
        device: $dst
C
cat "$DDSGO_CONFIG"
quiet "$ddsgo" config check

# put MB: files of MB megabytes, half of them compressible, under the load's own directory.
put() { mkdir -p "$mnt/$1"; head -c "$2"M /dev/urandom >"$mnt/$1/random.$RANDOM"; yes "line $RANDOM of a log" | head -c "$2"M >"$mnt/$1/log.$RANDOM"; }
compare() {
	snap=$(lvm lvs --noheadings -o lv_path -S 'lv_attr=~^s' "${name}a" | tr -d ' ')
	cmp "$snap" "$dst" || fail "the copy differs from the snapshot"
	[ "$(wc -w <<<"$snap")" = 1 ] || fail "left over: $snap"
	echo "compared byte for byte: the copy equals the snapshot of its point in time"
}
work_hard() { # writes all the time, in small files and in a big one
	while :; do put load 1; dd if=/dev/urandom of="$mnt/database" bs=8k count=4 seek=$((RANDOM % 512)) conv=notrunc status=none; find "$mnt/load" -type f | head -n -6 | xargs -r rm -f; sleep 0.2; done
}

say "the first copy, while the application is at work"
put files $((size / 8))
truncate -s 4M "$mnt/database"; sync
work_hard & load=$!
"$ddsgo" full appdata || fail full
compare

for i in 1 2; do
	say "incremental sync $i"
	put "round$i" 4
	"$ddsgo" sync appdata || fail "sync $i"
	compare
done

say "incremental sync 3, killed half-way with SIGKILL"
put round3 $((size / 16)); sync
"$ddsgo" sync appdata >"$work/killed" 2>&1 & victim=$!
for _ in $(seq 600); do # until the target is receiving
	ls "$work"/state-dr1/volumes/*/journal/incoming/*.delta >/dev/null 2>&1 && break
	kill -0 $victim 2>/dev/null || break
	sleep 0.02
done
kill -KILL $victim 2>/dev/null && echo "killed ddsgo, pid $victim"
wait $victim 2>/dev/null
"$ddsgo" status
echo "... and the same command again:"
"$ddsgo" sync appdata || fail "sync after the kill"
compare
stop_load

say "the application is stopped: after one more sync the copy equals the volume itself"
umount "$mnt" || fail umount
"$ddsgo" sync appdata || fail "last sync"
cmp "$src" "$dst" || fail "the copy differs from the volume"
echo "compared byte for byte: the copy equals the volume"
quiet e2fsck -fn "$dst"
echo "e2fsck finds the file system of the copy clean"

say "status, as an administrator sees it"
"$ddsgo" status
echo "... and on the disaster-recovery host, which has no configuration:"
env -u DDSGO_CONFIG DDSGO_STATE_DIR="$work/state-dr1" "$ddsgo" status
say "the demo is complete: 1 full copy, 5 syncs, 1 of them after a kill, every copy compared"
