#!/bin/sh
# npm_install.sh - the packages of a test folder, into a cache: tests/lib/npm_install.sh HERE CACHE
#
# HERE has package.json, package-lock.json and .npmrc. A cache that was filled from the same files
# is left alone. Exit 77 (skip) when Node isn't there or npm can't reach its registry.
set -eu
here=$1
cache=$2

command -v npm >/dev/null 2>&1 || {
    echo 'SKIP: npm is not installed'
    exit 77
}
mkdir -p "$cache"
exec 9>"$cache/lock" # tests that run side by side
flock 9
wanted=$(cat "$here/package.json" "$here/package-lock.json" | sha256sum)
[ "$(cat "$cache/complete" 2>/dev/null || true)" != "$wanted" ] || exit 0
cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$cache/"
# Not 'npm ci': it wants the binaries of every platform in the lock file.
if ! (cd "$cache" && npm install --ignore-scripts >npm.log 2>&1); then
    if grep -Eq 'ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH' "$cache/npm.log"; then
        echo 'SKIP: npm can not reach its registry'
        exit 77
    fi
    cat "$cache/npm.log"
    exit 1
fi
echo "$wanted" >"$cache/complete"
