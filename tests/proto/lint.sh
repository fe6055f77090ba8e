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

"$root/tests/lib/npm_install.sh" "$here" "$cache"
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
