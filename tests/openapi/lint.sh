#!/bin/sh
# lint.sh - redocly over api/openapi.yaml, and a planted fault that it must see.
#
#     tests/openapi/lint.sh ROOT
#
# redocly comes from npm, its version pinned by package-lock.json here, into .cache on the first
# run. Exit 77 (skipped) when it can't be had.
set -eu
root=$1
cache=$root/.cache/redocly

if command -v node >/dev/null 2>&1 && [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
    echo 'SKIP: redocly needs Node 20'
    exit 77
fi
"$root/tests/lib/npm_install.sh" "$root/tests/openapi" "$cache"
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true

lint() { # FILE: warnings are errors
    out=$("$cache/node_modules/.bin/redocly" lint --extends=recommended-strict "$1" 2>&1) && return
    echo "$out"
    return 1
}

lint "$root/api/openapi.yaml"

# A linter that accepts everything proves nothing.
planted=$(mktemp -d)
trap 'rm -rf "$planted"' EXIT
sed 's/operationId: getCounter/operationId: incrementCounter/' "$root/api/openapi.yaml" \
    >"$planted/openapi.yaml"
if lint "$planted/openapi.yaml" >"$planted/log"; then
    echo 'redocly accepted an operationId that is there twice'
    exit 1
fi
grep -q operation-operationId-unique "$planted/log"
echo 'checked 1 file'
