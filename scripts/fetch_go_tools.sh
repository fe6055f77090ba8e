#!/bin/sh
# fetch_go_tools.sh - build the Go programs that the tests use: a foreign client, a bad network.
#
#     scripts/fetch_go_tools.sh [DEST [NAME]]     (default .cache/gotools, all)
#
# Pinned by version; Go's module proxy and checksum database see to the rest. What DEST has
# in that version is left alone. Exit 69 when there is no Go, or no way to the proxy.
set -eu

dest=${1:-$(dirname "$0")/../.cache/gotools}
tools='grpcurl=github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3
    toxiproxy=github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0'

command -v go >/dev/null 2>&1 || {
    echo 'fetch_go_tools: Go is not installed' >&2
    exit 69
}
mkdir -p "$dest"
dest=$(cd "$dest" && pwd)
exec 9>"$dest/lock" # tests that run side by side: a program is not started while it is written
flock 9
for tool in $tools; do
    name=${tool%%=*}
    module=${tool#*=}
    program=${module%@*}
    [ "${2:-$name}" = "$name" ] || continue
    [ -x "$dest/$name" ] && [ "$(cat "$dest/$name.from" 2>/dev/null || true)" = "$module" ] && continue
    # Away from any go.mod, and not more than a part of the machine at a time.
    if ! (cd "$dest" && GOBIN=$dest GOTOOLCHAIN=local CGO_ENABLED=0 go install -trimpath -p 2 \
        "$module") >"$dest/$name.log" 2>&1; then
        tail -n 5 "$dest/$name.log" >&2
        echo "fetch_go_tools: could not build $module" >&2
        exit 69
    fi
    [ "${program##*/}" = "$name" ] || mv "$dest/${program##*/}" "$dest/$name"
    echo "$module" >"$dest/$name.from"
done
