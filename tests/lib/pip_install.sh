#!/bin/sh
# pip_install.sh - Python packages of a test into an environment: tests/lib/pip_install.sh REQUIREMENTS DEST
#
# REQUIREMENTS pins versions. A folder that was filled from the same file is left alone. Exit 77
# (skip) when there is no venv or pip can't reach its index.
set -eu
wanted=$1
dest=$2

mkdir -p "$(dirname "$dest")"
exec 9>"$dest.lock" # tests that run side by side
flock 9
! cmp -s "$wanted" "$dest/complete" || exit 0
if ! python3 -m venv --clear "$dest" >"$dest.log" 2>&1; then
    echo 'SKIP: python3 has no venv'
    exit 77
fi
if ! "$dest/bin/pip" install --quiet -r "$wanted" >"$dest.log" 2>&1; then
    if grep -Eq 'NewConnectionError|Name or service|ConnectTimeout|Network is unreachable' "$dest.log"; then
        echo 'SKIP: pip can not reach its index'
        exit 77
    fi
    cat "$dest.log"
    exit 1
fi
cp "$wanted" "$dest/complete"
