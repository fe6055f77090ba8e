#!/bin/sh
# lint.sh - hadolint, dclint and kubernetes-validate over deploy, and a planted fault for each.
#
#     tests/deploy/lint.sh ROOT
#
# They come from PyPI and npm, with versions pinned here, into .cache on the first run. Exit 77
# (skipped) when they can't be had.
set -eu
root=$1
tools=$root/.cache/deploy-lint

if command -v node >/dev/null 2>&1 && [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
    echo 'SKIP: dclint needs Node 20'
    exit 77
fi

"$root/tests/lib/npm_install.sh" "$root/tests/deploy" "$tools/npm"
"$root/tests/lib/pip_install.sh" "$root/tests/deploy/requirements.txt" "$tools/venv"
planted=$(mktemp -d)
trap 'rm -rf "$planted"' EXIT

fails() { # NAME COMMAND...: a linter that accepts everything proves nothing
    name=$1
    shift
    if "$@" >"$planted/log" 2>&1; then
        echo "$name accepted the planted fault"
        exit 1
    fi
}

hadolint() {
    "$tools/venv/bin/hadolint" --failure-threshold info "$1"
}
hadolint "$root/deploy/Dockerfile"
sed 's/^FROM debian:12 /FROM debian /' "$root/deploy/Dockerfile" >"$planted/Dockerfile"
fails hadolint hadolint "$planted/Dockerfile"

dclint() {
    "$tools/npm/node_modules/.bin/dclint" --config "$root/tests/deploy/dclint.json" --max-warnings 0 "$1"
}
dclint "$root/deploy/compose.yaml"
sed 's/^  gateway-2:/  gateway-1:/' "$root/deploy/compose.yaml" >"$planted/compose.yaml"
fails dclint dclint "$planted/compose.yaml"

kubernetes() { # FILE...
    "$tools/venv/bin/kubernetes-validate" --strict --quiet "$@"
}
kustomization=$root/deploy/kubernetes/kustomization.yaml
resources=$(sed -n 's/^  - \(.*\.yaml\)$/\1/p' "$kustomization")
[ "$(printf '%s\nkustomization.yaml\n' "$resources" | sort)" = "$(ls "$root/deploy/kubernetes")" ] || {
    echo "$kustomization does not list every file beside it"
    exit 1
}
for resource in $resources; do
    kubernetes "$root/deploy/kubernetes/$resource"
done
sed 's/maxReplicas:/maxReplica:/' "$root/deploy/kubernetes/gateway.yaml" >"$planted/gateway.yaml"
fails kubernetes-validate kubernetes "$planted/gateway.yaml"
echo "checked $(($(echo "$resources" | wc -l) + 2)) files"
