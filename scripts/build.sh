#!/bin/sh
# build.sh - configure (once) and build one folder: scripts/build.sh DIR [meson options]
set -eu
cd "$(dirname "$0")/.."

dir=$1
shift
log=$dir.log
echo "build: $dir" >&2
finish() {
    cat "$log" >&2
    rm -f "$log"
    exit 1
}
if [ ! -f "$dir/build.ninja" ]; then
    meson setup "$dir" "$@" >"$log" 2>&1 || finish
elif [ $# -gt 0 ]; then
    meson configure "$dir" "$@" >"$log" 2>&1 || finish
fi
ninja -C "$dir" >"$log" 2>&1 || finish
rm -f "$log"
