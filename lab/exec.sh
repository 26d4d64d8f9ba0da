#!/bin/bash
# exec.sh DIR [LIST] -- runs the test binaries that lab/run.sh built into DIR, on the kernel that is there: the host's, or
# the guest's. DIR/LIST (list) has one line per package: binary, directory of the package, regular expression of its tests.
# What a test leaves behind (a loop device, a dm device, a namespace, a process) is a failure.
set -u
dir=$1 list=${2:-list}
export DDSGO_LAB=1 DDSGO_LAB_RUN=lab-$$-$(date +%s%N)
[ ! -x "$dir/ddsgo" ] || export DDSGO_LAB_BIN=$dir/ddsgo

leftovers() {
	losetup -a 2>/dev/null | grep -a ddsgolab | sed 's/^/loop device: /'
	dmsetup ls 2>/dev/null | grep -a ^ddsgolab | sed 's/^/device-mapper: /'
	ip netns list 2>/dev/null | grep -a ^ddsgolab | sed 's/^/network namespace: /'
	find /dev/shm -maxdepth 1 -name 'ddsgolab.*' 2>/dev/null | sed 's/^/directory: /'
	grep -a ddsgolab /proc/self/mounts | sed 's/^/mount: /'
	local p
	for p in /proc/[0-9]*; do
		# Every child of a test carries this run's name in its environment.
		[ "${p#/proc/}" != $$ ] && [ "${p#/proc/}" != "$BASHPID" ] || continue
		grep -aqs "DDSGO_LAB_RUN=$DDSGO_LAB_RUN" "$p/environ" || continue
		[ "$(cut -d' ' -f4 "$p/stat" 2>/dev/null)" != "$BASHPID" ] || continue
		[ "$(cat "$p/comm" 2>/dev/null)" != exec.sh ] || continue
		echo "process: ${p#/proc/} $(tr '\0' ' ' <"$p/cmdline" 2>/dev/null)"
	done
}

failed=0 passed=0
while IFS=$'\t' read -r bin pkg tests; do
	echo "=== lab: $pkg"
	start=$SECONDS
	if ! (cd "$pkg" && exec "$bin" -test.run "$tests" -test.timeout "${LAB_TIMEOUT:-40m}" ${LAB_VERBOSE:+-test.v} ${LAB_FLAGS:-}) </dev/null; then
		echo "--- lab: $pkg FAILED after $((SECONDS - start)) s"
		failed=$((failed + 1))
	else
		echo "--- lab: $pkg ok, $((SECONDS - start)) s"
		passed=$((passed + 1))
	fi
	left=$(leftovers)
	if [ -n "$left" ]; then
		printf '%s\n' "$left" "--- lab: $pkg LEFT THE ABOVE BEHIND"
		failed=$((failed + 1))
	fi
done <"$dir/$list"
echo "lab: $passed package(s) passed, $failed failure(s), kernel $(uname -r)"
[ "$failed" = 0 ]
