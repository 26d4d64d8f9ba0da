#!/bin/bash
# run.sh [-run REGEXP] [PACKAGE...] -- builds the lab tests (build tag "lab") of the packages, by default of all that
# have any, and runs them: directly where the kernel has device-mapper, else inside user-mode Linux, else says what
# it leaves out. Environment: LAB=required makes leaving out a failure; LAB_MODE=direct|uml forces one;
# LAB_VERBOSE=1 prints every test; LAB_TIMEOUT is go test's, per package; LAB_OUT=DIR receives what tests save;
# LAB_GUESTS is the number of user-mode Linux guests that share the tests (2 with two processors: a guest has one).
set -u
here=$(dirname "$(readlink -f "$0")")
root=$(dirname "$here")
cd "$root" || exit 1
only=
if [ "${1:-}" = -run ]; then only=$2; shift 2; fi
packages=("$@")
if [ ${#packages[@]} = 0 ]; then
	# A test belongs to this lab if it uses package lab. (Tag "lab" is also that of lab/ceph, which has its own way.)
	mapfile -t packages < <(grep -rlE '^//go:build lab$' --include='*_test.go' . |
		xargs -r grep -lE '"github.com/ddsgo/ddsgo/lab"|^package lab(_test)?$' | xargs -r -n1 dirname | sort -u)
fi

tmp=$(mktemp -d /var/tmp/ddsgo-lab.XXXXXX) || exit 1
guests=()
trap '[ ${#guests[@]} = 0 ] || { kill -TERM "${guests[@]}"; wait; } 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 143' TERM HUP
trap 'exit 130' INT

# tests_of DIR: the names of the tests in its files that only the lab builds. Unit tests run elsewhere.
tests_of() {
	grep -lE '^//go:build lab$' "$1"/*_test.go | xargs sed -n 's/^func \(Test[A-Za-z0-9_]*\)(t \*testing\.T).*/\1/p' | sort -u
}

# share NAMES GUEST: every name whose turn it is, so that each guest gets the same number of tests.
share() {
	awk -v of="$share_of" -v g="$2" 'NR % of == g % of' <<<"$1" | paste -sd'|'
}

share_of=${LAB_GUESTS:-$(($(nproc) > 1 ? 2 : 1))}
[ -z "$only" ] || share_of=1
export CGO_ENABLED=0
count=0 n=0
: >"$tmp/list"
for p in "${packages[@]}"; do
	names=$(tests_of "$p") && [ -n "$names" ] || { echo "lab: no lab tests in $p" >&2; exit 1; }
	count=$((count + $(wc -w <<<"$names")))
	n=$((n + 1))
	go test -c -tags lab -o "$tmp/$n.test" "$p" || exit 1
	printf '%s\t%s\t%s\n' "$tmp/$n.test" "$root/${p#./}" "${only:-^($(paste -sd'|' <<<"$names"))$}" >>"$tmp/list"
	for g in $(seq "$share_of"); do
		part=$(share "$names" "$g")
		[ -z "$part" ] || printf '%s\t%s\t%s\n' "$tmp/$n.test" "$root/${p#./}" "${only:-^($part)$}" >>"$tmp/list.$g"
	done
done
if ! go build -trimpath -o "$tmp/ddsgo" ./cmd/ddsgo; then
	[ $# -gt 0 ] || exit 1
	echo "lab: going on without bin/ddsgo: tests that need it will fail" >&2
fi
cp "$here/exec.sh" "$tmp/"

pass=()
for v in LAB_VERBOSE LAB_TIMEOUT LAB_FLAGS LAB_FULL DDSGO_GOLDEN SEED SOAK_TIME; do [ -z "${!v:-}" ] || pass+=("$v=${!v}"); done
mode=${LAB_MODE:-}
why=$("$here/direct.sh")
[ -n "$mode" ] || { [ -n "$why" ] || mode=direct; }
[ -n "$mode" ] || { [ "$(id -u)" != 0 ] || ! command -v "${UML_KERNEL:-linux.uml}" >/dev/null || mode=uml; }
mkdir -p "$tmp/out"
case $mode in
direct)
	echo "lab: $count test(s) in $n package(s), on this kernel"
	env "${pass[@]}" DDSGO_LAB_OUT="$tmp/out" bash "$tmp/exec.sh" "$tmp"
	rc=$?
	;;
uml)
	echo "lab: $count test(s) in $n package(s), in user-mode Linux, $share_of guest(s) (${why:-forced})"
	args=()
	for v in "${pass[@]}"; do args+=(-e "$v"); done
	rc=0
	for g in $(seq "$share_of"); do
		[ -s "$tmp/list.$g" ] || continue
		out=/dev/stdout
		[ "$g" = 1 ] || out=$tmp/guest.$g.log
		"$here/uml/run.sh" -t "${LAB_UML_LIMIT:-3600}" -m "${LAB_MEM:-2G}" -w "$tmp" "${args[@]}" -e DDSGO_LAB_OUT="$tmp/out" \
			"$tmp/exec.sh" "$tmp" "list.$g" >"$out" 2>&1 &
		guests+=($!)
	done
	for g in "${!guests[@]}"; do
		wait "${guests[$g]}" || rc=$?
		unset "guests[$g]"
		log=$tmp/guest.$((g + 1)).log
		[ ! -e "$log" ] || { echo "lab: guest $((g + 1)):"; cat "$log"; }
	done
	;;
*)
	echo "SKIP: $count lab test(s) of $n package(s) not run: $why, and user-mode Linux is not installed or not usable (lab/install.sh as root installs it)"
	[ "${LAB:-}" != required ] || { echo "lab: LAB=required, so this is a failure" >&2; exit 1; }
	exit 0
	;;
esac
if [ -n "${LAB_OUT:-}" ] && [ "$rc" = 0 ]; then mkdir -p "$LAB_OUT" && cp -a "$tmp/out/." "$LAB_OUT/"; fi
exit "$rc"
