#!/bin/bash
# run.sh -- run a script as root inside user-mode Linux: a real kernel with device-mapper, without
# touching the host's. Output appears live; the exit status is the script's.
#
#   run.sh [-m MEM] [-t SECONDS] [-d FILE[:r|s|t]]... [-D SIZE]... [-w DIR] [-e NAME=VALUE]... [-M MODULES]
#          [-P PIDFILE] SCRIPT [ARG...]
#
#   -m MEM       memory of the guest (default 2G; the host gives it page by page)
#   -t SECONDS   time limit (default 900)
#   -d FILE      the next disk of the guest (/dev/ubda, /dev/ubdb, ...); r = read-only, s = O_SYNC, t = allow discard
#   -D SIZE      the next disk, a fresh sparse one, deleted at the end
#   -w DIR       shared, writable directory, at the same path in the guest, as $LABDIR (default: a fresh one,
#                removed at the end); not below /dev, /proc, /run, /sys
#   -e N=V       a variable for the script
#   -M MODULES   modules to load (default below)
#   -P PIDFILE   where to write the pid to SIGKILL when the guest shall lose its power
#
# The guest's root is the host's root with a writable layer in the guest's memory: everything is at its usual
# path, nothing that the script writes reaches the host, except into $LABDIR and to the disks.
# Exit status: the script's; 124 time limit; 125 the guest died without a word (panic, kill); 2 usage; 3 something is missing.
set -u
mem=2G limit=900 share= pidfile= vars=() disks=()
modules="dm-mod dm-snapshot dm-thin-pool dm-flakey dm-log-writes dm-era dm-dust dm-delay loop veth sch_netem"
usage() { sed -n '5,6s/^# *//p' "$0" >&2; exit 2; }
while getopts m:t:d:D:w:e:M:P: opt; do
	case $opt in
	m) mem=$OPTARG ;; t) limit=$OPTARG ;; d) disks+=("$OPTARG") ;; D) disks+=("=$OPTARG") ;;
	w) share=$OPTARG ;; e) vars+=("$OPTARG") ;; M) modules=$OPTARG ;; P) pidfile=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ $# -ge 1 ] || usage
here=$(dirname "$(readlink -f "$0")")
script=$(readlink -f "$1") && [ -r "$script" ] || { echo "run.sh: cannot read $1" >&2; exit 2; }
shift
lack() { echo "run.sh: $1 is missing: run lab/install.sh" >&2; exit 3; }
kernel=${UML_KERNEL:-linux.uml}
command -v "$kernel" >/dev/null || lack "$kernel (user-mode-linux)"
command -v modprobe >/dev/null || lack "modprobe (kmod)"
[ "$(id -u)" = 0 ] || { echo "run.sh: must be root" >&2; exit 3; }

# The shim is built once per version of its source. Without it the guest must not run (see shim.c).
cache=${XDG_CACHE_HOME:-/var/tmp}/ddsgo-lab-$(id -u)
shim=$cache/shim-$(sha256sum <"$here/shim.c" | cut -c1-16).so
if [ ! -s "$shim" ]; then
	mkdir -p -m 700 "$cache"
	[ -O "$cache" ] || { echo "run.sh: $cache belongs to someone else" >&2; exit 3; }
	command -v cc >/dev/null || lack "cc (gcc)"
	cc -O1 -shared -fPIC -o "$shim.$$" "$here/shim.c" && mv "$shim.$$" "$shim" || exit 3
fi

own=
[ -n "$share" ] || { share=$(mktemp -d /var/tmp/ddsgo-lab.XXXXXX); own=$share; }
mkdir -p "$share"
share=$(readlink -f "$share")
run=$(mktemp -d "$share/.run.XXXXXX")
fresh=() args=() n=0
for d in ${disks[@]+"${disks[@]}"}; do
	flags= file=$d
	case $d in
	=*) file=$(mktemp "${UML_DISKS:-/dev/shm}/ddsgo-lab.XXXXXX"); truncate -s "${d#=}" "$file"; fresh+=("$file") ;;
	*:[rst]) flags=${d##*:} file=${d%:*} ;;
	esac
	args+=("ubd$n$flags=$file"); n=$((n + 1))
done
{
	for v in ${vars[@]+"${vars[@]}"}; do printf 'export %s=%q\n' "${v%%=*}" "${v#*=}"; done
	printf 'LABDIR=%q\nMODULES=%q\n' "$share" "$modules"
	printf 'set --'; printf ' %q' "$run/script" "$@"; echo
} >"$run/args"
cp "$script" "$run/script"
cp "$here/init.sh" "$run/init" && chmod +x "$run/init"

uml= killer=
cleanup() {
	[ -z "$uml" ] || kill -KILL "$uml" 2>/dev/null
	[ -z "$killer" ] || kill "$killer" 2>/dev/null
	# Nothing that carries our unique run directory on its command line may be left.
	pgrep -f "uml_dir=$run/" | xargs -r kill -KILL 2>/dev/null
	rm -rf "$run" ${fresh[@]+"${fresh[@]}"}
	[ -z "$own" ] || rm -rf "$own"
}
trap cleanup EXIT
trap 'exit 143' TERM HUP
trap 'exit 130' INT

# Its own PID namespace, whose first process is a shell: killing that one posts SIGKILL to the kernel, its guest
# processes and its I/O threads in one go. --kill-child passes the death of unshare on to that shell.
LAB_SHIM=$shim unshare --pid --fork --kill-child=SIGKILL -- \
	sh -c 'LD_PRELOAD=$LAB_SHIM "$@" & wait $!' uml "$kernel" "mem=$mem" root=/dev/root rootfstype=hostfs rootflags=/ ro \
	${args[@]+"${args[@]}"} "init=$run/init" ${UML_ARGS:-} con=null con0=fd:0,fd:1 quiet "loglevel=${UML_LOGLEVEL:-1}" \
	umid=lab "uml_dir=$run/" </dev/null 2>"$run/err" \
	> >(sed -u -e 's/\r$//' -e '/^Core dump limits/d' -e '/^\t\(soft\|hard\) - /d' -e '/reboot: System halted/d' -e '/sysrq: Power Off/d' -e '/reboot: Power down/d') &
uml=$!
[ -z "$pidfile" ] || echo "$uml" >"$pidfile"
(
	sleep "$limit" &
	trap 'kill $! 2>/dev/null' TERM
	wait $! && : >"$run/late" && kill -KILL "$uml"
) >/dev/null 2>&1 &
killer=$!
wait "$uml" 2>/dev/null
rc=125
[ ! -e "$run/late" ] || { rc=124; echo "run.sh: the guest was ended after $limit seconds" >&2; }
[ ! -s "$run/rc" ] || rc=$(cat "$run/rc")
if [ "$rc" = 125 ]; then
	echo "run.sh: the guest died before the script ended" >&2
	cat "$run/err" >&2
fi
exit "$rc"
