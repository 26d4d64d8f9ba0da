#!/bin/bash
# infinibox.sh DDSGO -- the walk-through of docs/infinibox.md, performed and checked on a simulated pair of boxes.
# Needs bash, curl and jq; no root, no array. All it makes is below one temporary directory.
set -u
ddsgo=$(readlink -f "$1")
for tool in curl jq; do command -v $tool >/dev/null || { echo "demo: $tool is needed (apt-get install $tool)" >&2; exit 1; }; done
work=$(mktemp -d "${TMPDIR:-/tmp}/ddsgo-infinibox.XXXXXX")
sim=
cleanup() { rc=$?; [ -z "$sim" ] || { kill "$sim" 2>/dev/null; wait "$sim" 2>/dev/null; }; rm -rf "$work"; exit $rc; }
trap cleanup EXIT
trap 'exit 143' TERM HUP
trap 'exit 130' INT
say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
fail() { echo "demo: FAILED: $*" >&2; exit 1; }
# run prints a command and its output; it has to succeed. refused has to end with that exit code.
run() { echo "\$ $*"; "$@" 2>&1 | sed 's/^/  /'; [ "${PIPESTATUS[0]}" = 0 ] || fail "$*"; }
refused() { local want=$1 rc; shift; echo "\$ $*"; "$@" 2>&1 | sed 's/^/  /'; rc=${PIPESTATUS[0]}; [ "$rc" = "$want" ] || fail "exit $rc, not $want: $*"; }
d() { run "$ddsgo" "$@"; }
control() { curl -sS -f -X POST "http://$ctl/v1/$1" -d "$2" >/dev/null || fail "control $1 $2"; }
fault() { control fault "{\"array\":\"$1\",\"kind\":\"$2\"}"; echo "# $1: $2"; }
mend() { curl -sS -f -X DELETE "http://$ctl/v1/fault" >/dev/null || fail "DELETE fault"; echo "# mended"; }
# rest is the box's own interface, for what is no business of replication: groups and snapshots.
rest() { local n=$1 m=$2 p=$3; shift 3; curl -sS -u admin:123456 -X "$m" "http://${http[$n]}/api/rest/$p" "$@" | jq -e 'if .error then error(.error.message) else .result end' || fail "$m $p"; }
id() { rest "$1" GET "$2?name=$3&fields=id" | jq '.[0].id'; }
put() { control io "{\"array\":\"$1\",\"volume\":\"$2\",\"op\":\"write\",\"offset\":0,\"data_b64\":\"$(printf '%-16s' "$3" | base64)\"}"; echo "# host writes to $2 on $1: $3"; }
holds() { local got; got=$(curl -sS -f -X POST "http://$ctl/v1/io" -d "{\"array\":\"$1\",\"volume\":\"$2\",\"op\":\"read\",\"offset\":0,\"length\":16}" | jq -r .data_b64 | base64 -d | tr -d '\0' | sed 's/ *$//'); [ "$got" = "$3" ] || fail "$2 on $1 holds '$got', not '$3'"; echo "# $2 on $1 holds: $3"; }
is() { local got; got=$("$ddsgo" status --json "$1" | jq -r ".resources[0] | $2"); [ "$got" = "$3" ] || fail "$1: $2 is '$got', not '$3'"; echo "# $1: $2 is $3"; }
ends() { local i; for i in $(seq 60); do [ "$("$ddsgo" status --json "$1" | jq -r '.resources[0].replication')" = running ] && return; sleep 0.5; done; fail "$1: the first copy does not end"; }

say "two boxes, linked: ibox1 at site1, ibox2 at site2"
"$ddsgo" sim infinibox --dir "$work/sim" --ready "$work/ready" >/dev/null &
sim=$!
for _ in $(seq 100); do [ -s "$work/ready" ] && break; sleep 0.1; done
[ -s "$work/ready" ] || fail "the simulator does not start"
ctl=$(jq -r .control "$work/ready"); mapfile -t http < <(jq -r '.arrays[].http' "$work/ready")
mapfile -t https < <(jq -r '.arrays[].https' "$work/ready"); mapfile -t ca < <(jq -r '.arrays[].ca_file' "$work/ready")
echo 123456 >"$work/pw"; chmod 600 "$work/pw"
cat >"$work/ddsgo.yaml" <<C
local_site: site1
arrays:
  ibox1: {type: infinibox, url: ["https://${https[0]}", "http://${http[0]}"], username: admin, password_file: $work/pw, ca_file: ${ca[0]}}
  ibox2: {type: infinibox, url: ["https://${https[1]}", "http://${http[1]}"], username: admin, password_file: $work/pw, ca_file: ${ca[1]}}
resources:
C
resource() { echo "  $1: {driver: infinibox, mode: $2, entity: $3, name: $4, link: link1, $5 sites: {site1: {array: ibox1, pool: p1}, site2: {array: ibox2, pool: p2}}}" >>"$work/ddsgo.yaml"; }
resource new async volume vol1 "interval: 60s, rpo: 120s,"
resource sync sync volume vol2 ""
resource fs async filesystem fs1 ""
resource existing async volume vol3 ""
resource base async volume vol4 ""
resource group async cg cg1 ""
resource mapped sync cg cg2 ""
export DDSGO_CONFIG=$work/ddsgo.yaml DDSGO_STATE_DIR=$work/state
d config check

say "S4.1, S4.5: a volume with a new copy, ASYNC; the source is made, too"
d array create new -n --size 64M
d array create new --size 64M
ends new
put ibox1 vol1 "first"
d update new
holds ibox2 vol1 "first"
d status new
is new .state up

say "S4.5: SYNC: every write is there at once"
d array create sync --size 64M
d update sync
put ibox1 vol2 "at once"
holds ibox2 vol2 "at once"
is sync .mode sync

say "S4.1: a filesystem"
d array create fs --size 64M
ends fs

say "S4.3: an existing, formatted volume; one that holds data is refused before the first request"
d array volume create existing vol3 --size 64M
d array volume create existing vol3 --size 64M --param site=site2
put ibox2 vol3 "precious"
refused 15 "$ddsgo" array create existing --param target=existing
d array volume delete existing vol3 --param site=site2 --force
d array volume create existing vol3 --size 64M --param site=site2
d array create existing --param target=existing
ends existing

say "S4.2: from base snapshots, here those that a deleted replica left"
d array create base --size 64M
ends base
put ibox1 vol4 "before"
d update base
refused 16 "$ddsgo" array delete base
d array delete base --force
a=$(rest 0 GET "volumes?parent_id=$(id 0 volumes vol4)" | jq -r '.[-1].name'); b=$(rest 1 GET "volumes?parent_id=$(id 1 volumes vol4)" | jq -r '.[-1].name')
put ibox1 vol4 "after"
refused 15 "$ddsgo" array create base --param target=base --param "local_snapshot=$a" --param "remote_snapshot=$b"
d array create base --param target=base --param "local_snapshot=$a" --param "remote_snapshot=$b" --discard site2
ends base
d update base
holds ibox2 vol4 "after"

say "S4.4: consistency groups: new, and with a map of members"
p1=$(id 0 pools p1); p2=$(id 1 pools p2)
member() { rest "$1" POST "cgs/$(id "$1" cgs "$2")/members?approved=true" -d "{\"dataset_id\":$(id "$1" volumes "$3")}" >/dev/null; }
for v in a b c x y; do d array volume create new $v --size 64M; done
for v in copy-of-x copy-of-y; do d array volume create new $v --size 64M --param site=site2; done
rest 0 POST 'cgs?approved=true' -d "{\"name\":\"cg1\",\"pool_id\":$p1}" >/dev/null; member 0 cg1 a; member 0 cg1 b
rest 0 POST 'cgs?approved=true' -d "{\"name\":\"cg2\",\"pool_id\":$p1}" >/dev/null; member 0 cg2 x; member 0 cg2 y
rest 1 POST 'cgs?approved=true' -d "{\"name\":\"cg2\",\"pool_id\":$p2}" >/dev/null; member 1 cg2 copy-of-x; member 1 cg2 copy-of-y
d array create group
ends group
d array add group c
put ibox1 c "of c"
d update group
holds ibox2 c "of c"
d array remove group c --force
refused 15 "$ddsgo" array create mapped --param target=existing
d array create mapped --param target=existing --param members=x:copy-of-x,y:copy-of-y
d update mapped

say "S4.6: change the type: put the mode into the configuration, then create brings the replica in line"
sed -i '/^  existing:/s/mode: async/mode: sync/' "$work/ddsgo.yaml"
is existing '.reasons[0].code' wrong_mode
d array create existing
d update existing
is existing .state up
sed -i '/^  existing:/s/mode: sync/mode: async/' "$work/ddsgo.yaml"
d array create existing
ends existing
sed -i '/^  fs:/s/mode: async/mode: sync/' "$work/ddsgo.yaml"
refused 4 "$ddsgo" array create fs
sed -i '/^  fs:/s/mode: sync/mode: async/' "$work/ddsgo.yaml"

say "look at the last consistent point of the copy while replication goes on"
d array volume create new look --param from=last-consistent
holds ibox2 look "first"

say "break, resume"
d break new
is new .replication held
refused 15 "$ddsgo" update new
d resume new

say "swap: site2 becomes primary, and back"
put ibox1 vol1 "before the swap"
d plan swap new --site site2
d swap new --site site2
holds ibox2 vol1 "before the swap"
is new .reversed true
d swap new --site site2
d swap sync --site site2
d failback new
d failback sync
is new .role primary

say "failover: ibox1 is lost"
d update new
put ibox1 vol1 "never sent"
refused 15 "$ddsgo" failover new --site site2
fault ibox1 array_down
refused 3 "$ddsgo" status new
d failover new --site site2
holds ibox2 vol1 "before the swap"
put ibox2 vol1 "of site2"

say "failback: ibox1 is back, with a write of its own"
mend
is new .role both
is new .state down
refused 15 "$ddsgo" failback new
d failback new --prepare --discard site1 --keep-discarded
kept=$(rest 0 GET "volumes?parent_id=$(id 0 volumes vol1)&name=like%3Adiscarded" | jq -r '.[0].name')
holds ibox1 "$kept" "never sent"
holds ibox1 vol1 "of site2"
d failback new
is new .role primary
is new .state up
holds ibox1 vol1 "of site2"

say "delete"
for r in new sync fs existing base group mapped; do d array delete $r --force --param target=delete --param retain=no; done
[ "$(curl -sS "http://$ctl/v1/state" | jq '[.arrays[].replicas[]] | length')" = 0 ] || fail "replicas are left"
[ "$(curl -sS "http://$ctl/v1/state" | jq '[.two_sources[] | select(.link_up)] | length')" = 0 ] || fail "two SOURCEs began while the link was up"

say "done: every variant was created, failed over or swapped, and deleted"
