#!/bin/sh
# lint.sh - buf lint over api/proto, and a planted bad file that it must refuse.
#
#     tests/proto/lint.sh ROOT
#
# buf comes from npm, its version pinned by tests/proto/package-lock.json, into .cache on the
# first run. Exit 77 (skipped) when Node isn't there or npm can't reach its registry.
set -eu
root=$1
here=$root/tests/proto
cache=$root/.cache/buf

skip() {
    echo "SKIP: $*"
    exit 77
}

command -v npm >/dev/null 2>&1 || skip 'npm is not installed, so there is no buf to lint with'
wanted=$(cat "$here/package.json" "$here/package-lock.json" | sha256sum)
if [ "$(cat "$cache/complete" 2>/dev/null || true)" != "$wanted" ]; then
    mkdir -p "$cache"
    cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$cache/"
    # Not 'npm ci': it wants the binaries of every platform in the lock file.
    if ! (cd "$cache" && npm install --ignore-scripts >npm.log 2>&1); then
        grep -Eq 'ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH' "$cache/npm.log" &&
            skip 'npm can not reach its registry'
        cat "$cache/npm.log"
        exit 1
    fi
    echo "$wanted" >"$cache/complete"
fi
buf=$cache/node_modules/.bin/buf

cd "$root"
"$buf" lint
count=$(find api/proto -name '*.proto' | wc -l)
[ "$count" -gt 0 ]

# A linter that accepts everything proves nothing.
planted=$(mktemp -d)
trap 'rm -rf "$planted"' EXIT
cp -r buf.yaml api "$planted/"
sed -i 's/int64 delta = 3/int64 Delta = 3/' "$planted/api/proto/counter/counter.proto"
if (cd "$planted" && "$buf" lint >lint.log); then
    echo 'buf accepted a field named Delta'
    exit 1
fi
grep -q lower_snake_case "$planted/lint.log"
echo "checked $count files"
