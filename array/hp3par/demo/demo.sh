#!/bin/bash
# The life of a Remote Copy group on a simulated pair of arrays, by each method in turn:
# every step is checked, the first that goes wrong ends the run with status 1. Then what one array
# has besides groups, and a site of twenty groups that moves with one command.
# Needs bash, curl, jq and openssl; no root, no array.
set -euo pipefail
umask 077
for tool in curl jq openssl; do command -v $tool >/dev/null || { echo "demo: $tool is needed (apt-get install $tool)" >&2; exit 1; }; done
ddsgo=$(realpath "${1:?usage: demo.sh DDSGO [METHOD...]}")
shift
methods=${*:-ssh wsapi proxy}
dir=$(mktemp -d)
base=${DEMO_PORT:-19300}
pids=()
cleanup() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
	wait
	rm -rf "$dir"
}
trap cleanup EXIT

await() { # FILE: written by rename when its program serves
	for _ in $(seq 200); do
		[ -e "$1" ] && return
		sleep 0.05
	done
	echo "demo: $1 did not appear" >&2
	exit 1
}

run() {
	echo "$ ddsgo $*"
	"$ddsgo" --config "$dir/ddsgo.yaml" --state-dir "$dir/state" "$@"
}

expect() { # KEY VALUE: what status --json must say
	"$ddsgo" --config "$dir/ddsgo.yaml" --state-dir "$dir/state" status svc1 --json | tr -d ' \n' >"$dir/status.json" || true
	grep -q "\"$1\":$2[,}]" "$dir/status.json" || {
		echo "demo: expected $1 = $2 in $(cat "$dir/status.json")" >&2
		exit 1
	}
}

fail() {
	echo "demo: $*" >&2
	exit 1
}

control() { # METHOD PATH [BODY]: the simulator's own interface
	curl -sS -f -X "$1" "http://127.0.0.1:$((base + 20))/v1/$2" ${3:+-d "$3"}
}

# changes N: what the arrays were told after the first N entries of the journal
changes() {
	control GET "journal?since=$1" | jq -r '.[] | select((.command // "") | test("^(start|stop|sync|set|remove|update)[a-z]* ") and (test("^setclienv") | not)) | (.array | split(".")[0]) + " " + .command'
}

seen() { control GET "journal?since=0" | jq '[.[].seq] | max // 0'; }

array() { # METHOD NUMBER
	local n=$2 port=$((base + 10 * ($2 - 1)))
	case $1 in
	ssh) echo "{type: hp3par, method: ssh, manager: 127.0.0.1, port: $port, username: opensvc, key: $sim/client_key, known_hosts: $sim/array${n}_known_hosts}" ;;
	wsapi) echo "{type: hp3par, method: wsapi, url: \"https://127.0.0.1:$((port + 1))\", ca_file: $sim/array${n}_ca.pem, username: opensvc, password_file: $dir/password}" ;;
	proxy) echo "{type: hp3par, method: proxy, url: \"https://127.0.0.1:$((base + 30))\", ca_file: $dir/proxy.crt, password_file: $dir/uuid}" ;;
	esac
}

configuration() { # METHOD
	cat >"$dir/ddsgo.yaml" <<YAML
arrays:
  hp3par1.opensvc.com: $(array "$1" 1)
  hp3par2.opensvc.com: $(array "$1" 2)
resources:
  svc1: {driver: hp3par, mode: async, sync_max_delay: 10m,
    sites: {site1: {array: hp3par1.opensvc.com, group: MYRCG, cpg: CPG1, snap_cpg: SNAPCPG1},
      site2: {array: hp3par2.opensvc.com, group: MYRCG.r12345, cpg: CPG1, snap_cpg: SNAPCPG1}}}
YAML
}

# The proxy allows exactly what the driver says that it may send.
start_proxy() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
		-keyout "$dir/proxy.key" -out "$dir/proxy.crt" 2>/dev/null
	{
		echo "ssl_key: $dir/proxy.key"
		echo "ssl_crt: $dir/proxy.crt"
		echo "access_log: $dir/access.log"
		echo "arrays:"
		for n in 1 2; do
			echo "  hp3par$n.opensvc.com: {manager: 127.0.0.1, port: $((base + 10 * (n - 1))), username: opensvc, key: $sim/client_key, known_hosts: $sim/array${n}_known_hosts}"
		done
		echo "creds:"
		for n in 1 2; do
			echo "  - {service: svc1, uuid: $(cat "$dir/uuid"), array: hp3par$n.opensvc.com, commands: ["
			for host in node1 node2; do
				run array commands svc1 VV_DEMO --method proxy --size 1G --host "$host" --param lun=0
			done | grep -v '^\$' | sort -u | sed "s/.*/      '&',/"
			echo "    ]}"
		done
	} >"$dir/proxy.yaml"
	"$ddsgo" proxy --config "$dir/proxy.yaml" --check
	"$ddsgo" proxy --config "$dir/proxy.yaml" --listen "127.0.0.1:$((base + 30))" --ready "$dir/proxy.ready" &
	pids+=($!)
	await "$dir/proxy.ready"
}

say() { # TEXT: what the last verb must have printed
	grep -qF -- "$1" "$dir/said" || {
		echo "demo: expected '$1' in:" >&2
		cat "$dir/said" >&2
		exit 1
	}
}

# Two hosts on each array; otherwise what the simulator holds by default.
cat >"$dir/scenario.json" <<JSON
{"arrays": [
  {"name": "hp3par1.opensvc.com", "system_id": 12345, "first_vv": 31110, "hosts": [{"name": "node1", "wwns": ["1000000000000001"]}, {"name": "node2", "wwns": ["1000000000000002"]}]},
  {"name": "hp3par2.opensvc.com", "system_id": 12346, "first_vv": 31079, "hosts": [{"name": "node1", "wwns": ["1000000000000001"]}, {"name": "node2", "wwns": ["1000000000000002"]}]}],
 "groups": [{"name": "MYRCG", "mode": "periodic", "period_s": 300, "policies": ["auto_recover", "over_per_alert"], "last_sync_age": 60, "volumes": ["VV_SVC1_ROOT"]}]}
JSON

printf opensvc >"$dir/password"
printf 3b2c325d-4321-6789-b32f-b987654cb092874a >"$dir/uuid"
chmod 600 "$dir/password" "$dir/uuid"
for method in $methods; do
	echo "== $method"
	sim=$dir/sim-$method
	"$ddsgo" sim hp3par --dir "$sim" --port-base "$base" --scenario "$dir/scenario.json" --ready "$sim.ready" >/dev/null &
	simpid=$!
	pids+=("$simpid")
	await "$sim.ready"
	configuration "$method"
	[ "$method" = proxy ] && { configuration ssh; start_proxy; configuration proxy; }
	run status svc1
	expect role '"primary"'
	run break svc1
	expect replication '"stopped"'
	run resume svc1
	expect replication '"running"'
	run update svc1
	run array create svc1 VV_DEMO --size 1G
	run array volume attach svc1 VV_DEMO --host node1
	run array volume attach svc1 VV_DEMO --host node2 --conflict-delay 1s | tee "$dir/said"
	say "cut_off: node1"
	expect replication '"running"'
	run update svc1
	run swap svc1 --site site2 --writers-stopped
	expect reversed true
	run swap svc1 --site site1 --writers-stopped
	expect reversed false
	run start svc1 --site site2
	expect reversed true
	run failback svc1 --writers-stopped
	expect reversed false
	run failover svc1 --site site2 --force | tee "$dir/said"
	say "export VV_DEMO to node2: ddsgo array volume attach svc1 VV_DEMO --host node2 --param site=site2 --param lun=0"
	run array volume attach svc1 VV_DEMO --host node2 --param site=site2 --param lun=0
	expect reversed false # both sides are primary: --force said so
	run failback svc1 --prepare --discard site1
	expect reversed true
	run failback svc1 --writers-stopped
	expect reversed false
	expect state '"up"'
	echo "# the first array is lost: start alone is enough"
	control POST fault '{"array":"hp3par1.opensvc.com","kind":"array_down"}' >/dev/null
	since=$(seen)
	run start svc1 --site site2
	if [ "$method" = ssh ]; then
		got=$(changes "$since")
		[ "$got" = "hp3par2 setrcopygroup failover -f -waittask MYRCG.r12345" ] || fail "the disaster took other commands: $got"
	fi
	control DELETE fault >/dev/null
	run failback svc1 --prepare --discard site1
	run failback svc1 --writers-stopped
	expect reversed false
	expect state '"up"'
	run array volume detach svc1 VV_DEMO --host node2
	run array volume delete svc1 VV_DEMO --force
	expect replication '"running"'
	run array delete svc1
	expect state '"down"'
	kill "$simpid"
	wait "$simpid" || true
done

echo "== snapshots and inventory of one array, and a site of twenty groups"
cat >"$dir/scenario.json" <<'JSON'
{"arrays": [
  {"name": "hp3par1.opensvc.com", "system_id": 12345, "first_vv": 31110, "volumes": [{"name": "DATA"}, {"name": "SNAP1", "copy_of": "DATA"}]},
  {"name": "hp3par2.opensvc.com", "system_id": 12346, "first_vv": 31079}],
 "generate": {"groups": 20, "volumes_per_group": 1, "mode": "periodic", "period_s": 300}}
JSON
sim=$dir/sim-site
"$ddsgo" sim hp3par --dir "$sim" --port-base "$base" --scenario "$dir/scenario.json" --ready "$sim.ready" >/dev/null &
pids+=($!)
await "$sim.ready"
{
	echo "arrays:"
	for n in 1 2; do echo "  hp3par$n.opensvc.com: $(array ssh $n)"; done
	echo "resources:"
	echo "  report: {driver: hp3parsnap, array: hp3par1.opensvc.com, vv_names: [SNAP1], sync_max_delay: 1h}"
} >"$dir/ddsgo.yaml"
run config check
run array inventory hp3par1.opensvc.com | sed -n 1,20p
since=$(seen)
run update report
[ "$(changes "$since")" = "hp3par1 updatevv -f SNAP1" ] || fail "update of a snapshot: $(changes "$since")"
run status report

echo "# twenty services as OpenSVC has them, translated"
sed -i '/^resources/,$d' "$dir/ddsgo.yaml"
mkdir "$dir/conf.d"
services=()
for n in $(seq 20); do
	group=$(printf 'GROUP_%04d' "$n")
	printf '[DEFAULT]\nnodes = site1\ndrpnodes = site2\n\n[sync#1]\ntype = hp3par\nmode = async\narray@nodes = hp3par1.opensvc.com\narray@drpnodes = hp3par2.opensvc.com\nrcg@nodes = %s\nrcg@drpnodes = %s.r12345\nsync_max_delay = 15\n' \
		"$group" "$group" >"$dir/svc$n.env"
	services+=("$dir/svc$n.env")
done
"$ddsgo" config import opensvc "${services[@]}" 2>"$dir/mistakes" && fail "15 of what? was not asked"
head -2 "$dir/mistakes"
"$ddsgo" config import opensvc "${services[@]}" --bare-unit minutes >"$dir/conf.d/services.yaml" 2>/dev/null
run config check
since=$(seen)
run start --all --site site2 --quiet
[ "$(changes "$since" | grep -c '^hp3par1 stoprcopygroup -f GROUP_')" = 20 ] || fail "not every group was stopped where it was primary"
[ "$(changes "$since" | grep -c '^hp3par2 setrcopygroup reverse -f -waittask GROUP_')" = 20 ] || fail "not every group was turned round"
run resume --all --quiet
run status | sed -n 1,4p
[ "$("$ddsgo" --config "$dir/ddsgo.yaml" --state-dir "$dir/state" status --json | jq '[.resources[] | select(.reversed and .replication == "running")] | length')" = 20 ] || fail "not every group replicates back"
echo "demo-hp3par: every step ended as expected, by: $methods"
