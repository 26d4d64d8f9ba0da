#!/bin/bash
# The life of a Remote Copy group on a simulated pair of arrays, by each method in turn:
# every step is checked, the first that goes wrong ends the run with status 1.
set -euo pipefail
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
	"$ddsgo" --config "$dir/ddsgo.yaml" "$@"
}

expect() { # KEY VALUE: what status --json must say
	"$ddsgo" --config "$dir/ddsgo.yaml" status svc1 --json | tr -d ' \n' >"$dir/status.json" || true
	grep -q "\"$1\":$2[,}]" "$dir/status.json" || {
		echo "demo: expected $1 = $2 in $(cat "$dir/status.json")" >&2
		exit 1
	}
}

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
    sites: {site1: {array: hp3par1.opensvc.com, group: MYRCG}, site2: {array: hp3par2.opensvc.com, group: MYRCG.r12345}}}
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
			run array commands svc1 --method proxy | grep -v '^\$' | sed 's/.*/      "&",/'
			echo "    ]}"
		done
	} >"$dir/proxy.yaml"
	"$ddsgo" proxy --config "$dir/proxy.yaml" --check
	"$ddsgo" proxy --config "$dir/proxy.yaml" --listen "127.0.0.1:$((base + 30))" --ready "$dir/proxy.ready" &
	pids+=($!)
	await "$dir/proxy.ready"
}

printf opensvc >"$dir/password"
printf 3b2c325d-4321-6789-b32f-b987654cb092874a >"$dir/uuid"
chmod 600 "$dir/password" "$dir/uuid"
for method in $methods; do
	echo "== $method"
	sim=$dir/sim-$method
	"$ddsgo" sim hp3par --dir "$sim" --port-base "$base" --ready "$sim.ready" >/dev/null &
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
	run swap svc1 --site site2 --writers-stopped
	expect reversed true
	run swap svc1 --site site1 --writers-stopped
	expect reversed false
	run start svc1 --site site2
	expect reversed true
	run failback svc1 --writers-stopped
	expect reversed false
	run failover svc1 --site site2 --force
	expect reversed false # both sides are primary: --force said so
	run failback svc1 --prepare --discard site1
	expect reversed true
	run failback svc1 --writers-stopped
	expect reversed false
	expect state '"up"'
	run array delete svc1
	expect state '"down"'
	kill "$simpid"
	wait "$simpid" || true
done
echo "demo-hp3par: every step ended as expected, by: $methods"
