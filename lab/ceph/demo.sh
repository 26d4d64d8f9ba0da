#!/bin/bash
# demo.sh DDSGO -- the life of a mirrored RBD image on two real Ceph clusters, with checksums. It runs
# inside the lab: go run ./lab/ceph/cephlab -no-mirror -- lab/ceph/demo.sh bin/ddsgo
# DEMO_MODES: "journal snapshot" (default) or one of them.
set -u
ddsgo=$(realpath "$1")
modes=${DEMO_MODES:-journal snapshot}
P="rbd --cluster primary --client-mount-timeout 10" S="rbd --cluster secondary --client-mount-timeout 10"
pool=$CEPHLAB_POOL
export DDSGO_STATE_DIR=$CEPHLAB_DIR/state
say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
fail() { echo "demo-rbd: FAILED: $*" >&2; exit 1; }
show() { printf '\033[2m$ %s\033[0m\n' "$*" | sed "s|$ddsgo|ddsgo|"; "$@"; }
must() { show "$@" || fail "$*"; }
refused() { local want=$1 rc; shift; show "$@"; rc=$?; [ $rc = "$want" ] || fail "exit $rc, not $want: $*"; echo "(refused, exit $rc)"; }
lab() { local a; echo "$*" >"$CEPHLAB_CONTROL"; read -r a <"$CEPHLAB_CONTROL.done"; [ "$a" = ok ] || fail "lab: $* -> $a"; }
write() { # CLUSTER IMAGE: a client writes 1 MiB in 4 KiB pieces
	timeout 60 rbd --cluster "$1" bench --io-type write --io-size 4K --io-total 1M --io-pattern rand "$pool/$2" >/dev/null 2>&1
}
sum() { rbd --cluster "$1" export --no-progress "$pool/$2" - | sha256sum | cut -c1-16; }
same() {
	local a b
	a=$(sum primary "$1") b=$(sum secondary "$1")
	[ "$a" = "$b" ] || fail "$1 differs: $a and $b"
	echo "sha256 on both clusters: $a"
}
settled() { # RESOURCE IMAGE: until both clusters answer and the watchers of killed clients are forgotten
	local i
	for i in $(seq 90); do
		"$ddsgo" status "$1" --json 2>/dev/null | grep -q '"reachable":false' || [ -n "$($P status "$pool/$2" --format json 2>/dev/null | grep address)" ] || return 0
		sleep 1
	done
	fail "the clusters did not come back"
}
# Both daemons know both clusters from the lab's HOME, as they would from /etc/ceph.
cat >"$CEPHLAB_DIR/ddsgo.yaml" <<Y
local_site: site1
resources:
$(for m in $modes; do cat <<R
  $m:
    driver: rbd
    mode: $m
    pool: $pool
    images: [$m]
    sites:
      site1: {cluster: primary, conf: $CEPHLAB_PRIMARY_CONF, mirror_admin_socket: $CEPHLAB_PRIMARY_SOCKET}
      site2: {cluster: secondary, conf: $CEPHLAB_SECONDARY_CONF, mirror_admin_socket: $CEPHLAB_SECONDARY_SOCKET}
R
done)
Y
export DDSGO_CONFIG=$CEPHLAB_DIR/ddsgo.yaml
lab start-mirror primary; lab start-mirror secondary

for m in $modes; do
	say "$m mode: an image with content, on the primary cluster only"
	head -c 32M /dev/urandom >"$CEPHLAB_DIR/content"
	must $P import --no-progress "$CEPHLAB_DIR/content" "$pool/$m"
	show "$ddsgo" doctor "$m"
	say "setup: pools, peers, features, the image (--dry-run first)"
	must "$ddsgo" array setup "$m" -n
	must "$ddsgo" array setup "$m"
	must "$ddsgo" update "$m"; same "$m"
	must "$ddsgo" status "$m"
	say "break: production goes on, the copy stays as it is"
	must "$ddsgo" break "$m"; before=$(sum secondary "$m"); write primary "$m" || fail "production was stopped"
	sleep 8; [ "$before" = "$(sum secondary "$m")" ] || fail "the copy moved"
	must "$ddsgo" resume "$m"; must "$ddsgo" update "$m"; same "$m"
	say "planned failover and back"
	write primary "$m"
	must "$ddsgo" swap "$m" --site site2
	write primary "$m" && fail "the old primary is writable"
	write secondary "$m" || fail "the new primary is not writable"
	must "$ddsgo" failback "$m"; same "$m"
	say "disaster: the primary cluster dies with unsent writes"
	refused 15 "$ddsgo" failover "$m" --site site2
	write primary "$m"
	lab kill primary
	must "$ddsgo" failover "$m" --site site2
	write secondary "$m" || fail "not writable after failover"
	say "it comes back: two primaries, and nobody is overwritten by accident"
	lab start primary
	lab kill secondary rbd-mirror; lab start-mirror primary; lab start-mirror secondary
	settled "$m" "$m"
	show "$ddsgo" status "$m"
	refused 15 "$ddsgo" failback "$m"
	say "failback: discard the old primary's writes, but keep a copy of them"
	must "$ddsgo" failback "$m" --discard site1 --keep-discarded --prepare; same "$m"
	$P ls "$pool" | grep "$m.discarded" || fail "the discarded content was not kept"
	must "$ddsgo" failback "$m"; must "$ddsgo" update "$m"; same "$m"
done
say "the whole pool, in four calls to Ceph"
must "$ddsgo" array images "${modes%% *}" --long

say "Cinder: a pool of its own, and the replication_device as the feature's notes print it (a comma is missing)"
pool=cinder
for c in primary secondary; do
	ceph --cluster $c osd pool create $pool 8 >/dev/null 2>&1 && rbd --cluster $c pool init $pool || fail "pool $pool on $c"
done
cat >"$CEPHLAB_DIR/cinder.conf" <<C
[ceph]
volume_backend_name = ceph
rbd_pool = $pool
rbd_ceph_conf = $CEPHLAB_PRIMARY_CONF
rbd_user = admin
replication_device = backend_id:secondary,
                     conf:$CEPHLAB_SECONDARY_CONF
                     user:admin,
                     pool:$pool
C
printf '\033[2m$ ddsgo config import cinder cinder.conf\033[0m\n'
"$ddsgo" config import cinder "$CEPHLAB_DIR/cinder.conf" | tee "$CEPHLAB_DIR/cinder.yaml" || fail "import"
export DDSGO_CONFIG=$CEPHLAB_DIR/cinder.yaml
say "two volumes: created, and mirrored as they are created"
must "$ddsgo" array create ceph:volume-1 --size 16M
must "$ddsgo" array create ceph:volume-2 --size 16M
for v in volume-1 volume-2; do write primary $v || fail "not writable: $v"; done
must "$ddsgo" update ceph; same volume-1; same volume-2
say "failover-host: the primary cluster is lost, all volumes become primary on the other one"
lab kill primary
must "$ddsgo" failover ceph --site secondary
for v in volume-1 volume-2; do write secondary $v || fail "not writable after failover-host: $v"; done
lab start primary
lab kill secondary rbd-mirror; lab start-mirror primary; lab start-mirror secondary
settled ceph volume-1
say "and the resync that Cinder leaves to people"
must "$ddsgo" failback ceph --discard default
must "$ddsgo" update ceph; same volume-1; same volume-2
must "$ddsgo" array images ceph
say "delete: the peer's copy goes only when that is said"
refused 15 "$ddsgo" array delete ceph:volume-2
must "$ddsgo" array delete ceph:volume-2 --delete-peer-copy
for i in $(seq 30); do $S info $pool/volume-2 >/dev/null 2>&1 || break; sleep 1; done
$S info $pool/volume-2 >/dev/null 2>&1 && fail "the peer's copy is still there"
$P info $pool/volume-2 >/dev/null || fail "the primary's image is gone"
echo; echo "demo-rbd: OK"
