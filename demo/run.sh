#!/bin/bash
# The demo: installs what it needs, builds ddsgo, and runs demo/demo.sh on this kernel, or inside user-mode Linux
# where this kernel has no device-mapper. Must be root. See README.md.
set -eu
here=$(dirname "$(readlink -f "$0")")
root=$(dirname "$here")
cd "$root"
[ "$(id -u)" = 0 ] || { echo "make demo must run as root: it makes volume groups on loop devices" >&2; exit 1; }
command -v go >/dev/null || { echo "make demo needs Go (https://go.dev/dl)" >&2; exit 1; }
lab/install.sh
CGO_ENABLED=0 go build -trimpath -o bin/ddsgo ./cmd/ddsgo
if why=$(lab/direct.sh); then
	exec demo/demo.sh "$root/bin/ddsgo"
fi
echo "This kernel cannot run LVM ($why): the demo runs inside user-mode Linux, which is slower."
exec lab/uml/run.sh -t 900 demo/demo.sh "$root/bin/ddsgo"
