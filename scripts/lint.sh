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

# GCC-only flags would stop clang; everything else stays as it is built. A file is looked at as
# often as it stands in the database: once will do, as the first of the libraries it is built into.
tidy_database() {
    mkdir -p "$build/tidy" &&
        sed -E 's/ -(ftrivial-auto-var-init=zero|fstack-clash-protection|flto=auto|ffat-lto-objects)//g' \
            "$build/compile_commands.json" |
        python3 -c 'import json, sys
json.dump(list({row["file"]: row for row in reversed(json.load(sys.stdin))}.values()), sys.stdout)' \
            >"$build/tidy/compile_commands.json"
}

# Each source of ours that is built, with what it includes of ours, as seen
# from the build folder: one line per file.
tidy_sources() {
    ninja -C "$build" -t deps | awk '
        /^[^ ]/ { if (line != "") print line; line = "" }
        /^ / && $1 !~ /^\// { line = line (line == "" ? "" : " ") $1 }
        END { if (line != "") print line }' |
        grep -E '^(\.\./)+src/[^ ]+\.c( |$)' | sort -u -k 1,1
}

tidy_one() { # FILE AND ITS HEADERS, seen from the build folder
    local stamp out file=src/${1#*/src/}
    file=${file%% *}
    # shellcheck disable=SC2086 # a list of words
    stamp=$build/tidy/$(cd "$build" && sha256sum $1 - <"$rules" | sha256sum | cut -c 1-32).ok
    [ -e "$stamp" ] && return 0
    if out=$(clang-tidy -p "$build/tidy" --quiet "$file" 2>/dev/null); then
        : >"$stamp"
    else
        # The path to each finding is long: whoever wants it asks again.
        grep -A 2 -E ': (error|warning): ' <<<"$out" || printf '%s\n' "$out"
        echo "all of it: clang-tidy -p $build/tidy $file"
        return 1
    fi
}

check_tidy() {
    local sources
    tidy_database || return 1
    sources=$(tidy_sources)
    [ -n "$sources" ] || { echo 'checked 0 files' && return 1; }
    rules=$PWD/.clang-tidy
    export build rules
    export -f tidy_one
    xargs -P "$(nproc)" -I{} bash -c 'tidy_one "$1"' _ {} <<<"$sources" || return 1
    echo "checked $(wc -l <<<"$sources") files"
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
