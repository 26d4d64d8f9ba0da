#!/bin/bash
# demo-legs.sh DDSGO -- legs of ddsgo's own with RBD images, on two real Ceph clusters without rbd-mirror:
# go run ./lab/ceph/cephlab -no-mirror -- lab/ceph/demo-legs.sh bin/ddsgo
set -u
ddsgo=$(realpath "$1")
pool=$CEPHLAB_POOL
export DDSGO_STATE_DIR=$CEPHLAB_DIR/state DDSGO_CONFIG=$CEPHLAB_DIR/legs.yaml
say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
fail() { echo "demo-rbd legs: FAILED: $*" >&2; exit 1; }
show() { printf '\033[2m$ %s\033[0m\n' "$*" | sed "s|$ddsgo|ddsgo|"; "$@"; }
must() { show "$@" || fail "$*"; }
refused() { local want=$1 rc; shift; show "$@"; rc=$?; [ $rc = "$want" ] || fail "exit $rc, not $want: $*"; echo "(refused, exit $rc)"; }
P="rbd --cluster primary" S="rbd --cluster secondary"
write() { timeout 60 rbd --cluster "$1" bench --io-type write --io-size 4K --io-total "$3" --io-pattern rand "$pool/$2" >/dev/null 2>&1 || fail "write $1 $2"; }
sum() { rbd --cluster "$1" export --no-progress "$2" - | sha256sum | cut -c1-16; }
read_at() { # where readers find the copy: POOL/IMAGE@SNAPSHOT
	"$ddsgo" status offsite --json | grep -o '"read":"rbd:secondary:[^"]*' | cut -d: -f4
}
same() {
	local a b c at
	at=$(read_at)
	a=$(sum primary "$pool/data") b=$(sum secondary "$at") c=$(head -c "$1" "$CEPHLAB_DIR/copy.img" | sha256sum | cut -c1-16)
	[ "$a" = "$b" ] && [ "$a" = "$c" ] || fail "they differ: $a $b $c"
	echo "sha256 of production, of $at and of the file: $a"
}

cat >"$DDSGO_CONFIG" <<Y
resources:
  offsite:
    source: rbd:$pool/data
    ceph: {cluster: primary, conf: $CEPHLAB_PRIMARY_CONF}
    targets: [{device: "rbd:$pool/copy", ceph: {cluster: secondary, conf: $CEPHLAB_SECONDARY_CONF}, keep: 3}]
  local:
    source: rbd:$pool/data
    ceph: {cluster: primary, conf: $CEPHLAB_PRIMARY_CONF}
    targets: [{device: $CEPHLAB_DIR/copy.img}]
Y
say "one image, two legs: into another cluster, and into a file that stands for a logical volume"
cat "$DDSGO_CONFIG"
head -c 48M /dev/urandom >"$CEPHLAB_DIR/content"; truncate -s 64M "$CEPHLAB_DIR/content" "$CEPHLAB_DIR/copy.img"
must $P import --no-progress "$CEPHLAB_DIR/content" "$pool/data"
must "$ddsgo" full offsite --dry-run
must "$ddsgo" full offsite
must "$ddsgo" full local
same 64M
say "what changed, and nothing else"
write primary data 4M
must "$ddsgo" sync offsite local
same 64M
must "$ddsgo" status
say "killed in the middle: the same command finishes it"
write primary data 16M
"$ddsgo" sync offsite & sleep 2.5; kill -9 $! 2>/dev/null; wait $! 2>/dev/null
show "$ddsgo" status offsite
must "$ddsgo" sync offsite local
same 64M
say "break, resume"
must "$ddsgo" break offsite
refused 15 "$ddsgo" sync offsite
must "$ddsgo" resume offsite
say "somebody writes to the copy: refused, until it is set back"
write secondary copy 64K
refused 10 "$ddsgo" sync offsite
must "$ddsgo" rollback offsite
write primary data 1M
must "$ddsgo" sync offsite local
same 64M
show $S snap ls "$pool/copy"
echo; echo "demo-rbd legs: OK"
