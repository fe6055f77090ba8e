#!/bin/bash
# lint.sh - the gates, the format and clang-tidy: scripts/lint.sh [BUILD]
#
# Prints one line per gate and 'N passed, N failed' at the end. clang-tidy
# skips a file whose sources and rules are what they were when it last passed.
set -u
cd "$(dirname "$0")/.." || exit

build=${1:-build}
passed=0
failed=0

gate() { # NAME COMMAND...
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then
        passed=$((passed + 1))
        printf 'ok   %-9s %s\n' "$name" "$(tail -n 1 <<<"$out")"
    else
        failed=$((failed + 1))
        printf 'FAIL %-9s\n%s\n' "$name" "$(tail -n 60 <<<"$out")"
    fi
}

sources() { # every C file of ours, by suffix
    find src tests -path tests/gates -prune -o -name "$1" -print | sort
}

check_format() {
    local files
    files=$(sources '*.[ch]')
    [ -n "$files" ] || return 1
    # shellcheck disable=SC2086 # a list of words
    clang-format --dry-run -Werror --ferror-limit=3 $files && echo "checked $(wc -l <<<"$files") files"
}

# GCC-only flags would stop clang; everything else stays as it is built.
tidy_database() {
    mkdir -p "$build/tidy" &&
        sed -E 's/ -ftrivial-auto-var-init=zero//g; s/ -fstack-clash-protection//g' \
            "$build/compile_commands.json" >"$build/tidy/compile_commands.json"
}

tidy_one() { # FILE STAMP-OF-ALL-HEADERS
    local stamp out
    stamp=$build/tidy/$(cat "$1" <(echo "$1 $2") | sha256sum | cut -c 1-32).ok
    [ -e "$stamp" ] && return 0
    if out=$(clang-tidy -p "$build/tidy" --quiet "$1" 2>/dev/null); then
        : >"$stamp"
    else
        # The path to each finding is long: whoever wants it asks again.
        grep -A 2 -E ': (error|warning): ' <<<"$out" || printf '%s\n' "$out"
        echo "all of it: clang-tidy -p $build/tidy $1"
        return 1
    fi
}

check_tidy() {
    local headers files
    tidy_database || return 1
    # shellcheck disable=SC2046 # lists of words
    headers=$(cat .clang-tidy $(sources '*.h') $(sources '*.def') | sha256sum)
    files=$(sources '*.c' | grep '^src/' | while read -r file; do
        grep -q "\"[^\"]*$file\"" "$build/compile_commands.json" && echo "$file"
    done)
    [ -n "$files" ] || { echo 'checked 0 files' && return 1; }
    export build
    export -f tidy_one
    xargs -P "$(nproc)" -I{} bash -c 'tidy_one "$1" "$2"' _ {} "$headers" <<<"$files" || return 1
    echo "checked $(wc -l <<<"$files") files"
}

gate layers tools/check_layers
gate symbols tools/check_symbols "$build"
gate headers tools/check_headers
gate readme tools/check_readme
gate text tools/check_text
gate shell tools/check_shell
gate format check_format
gate tidy check_tidy

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
