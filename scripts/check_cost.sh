#!/bin/bash
# check_cost.sh - what a request costs now beside the parent commit's, in instructions.
#
#     scripts/check_cost.sh [BINARY]
#
# The parent is COST_BASE, else where this branch left main, else (on main) HEAD^. It is built in
# build-base with the same compiler and driven with the same load in the same run
# (bench/instructions). A path that costs over 3 % more is red. A commit that means to cost more
# says how much and why, in a line of its message's last paragraph:
#
#     Costs: +6 % of an increment: every answer is signed
set -u
cd "$(dirname "$0")/.." || exit

binary=${1:-build/highgopress}
limit=3
tree=build-base
compiled=(src api meson.build meson_options.txt)

end() { # WHY THE-COUNT
    echo "$1"
    echo "$2"
    exit 0
}

parent() {
    local left
    left=$(git merge-base HEAD main 2>/dev/null || git merge-base HEAD origin/main 2>/dev/null)
    if [ -n "${COST_BASE:-}" ]; then
        git rev-parse -q --verify "$COST_BASE^{commit}"
    elif [ -n "$left" ] && [ "$left" != "$(git rev-parse HEAD)" ]; then
        echo "$left"
    else
        git rev-parse -q --verify 'HEAD^{commit}^'
    fi
}

# An index of its own: only files that differ are written, so that ninja builds only those.
check_out() {
    mkdir -p "$tree" &&
        GIT_INDEX_FILE=$PWD/$tree/.index git --work-tree="$tree" read-tree -u --reset "$base" &&
        if [ -d .cache ]; then mkdir -p "$tree/.cache" && cp -rn .cache/llhttp "$tree/.cache/"; fi
}

build() {
    [ -f "$tree/build/build.ninja" ] ||
        CC=${CC:-gcc} meson setup "$tree/build" "$tree" -Dtests=disabled || return
    ninja -C "$tree/build" highgopress
}

# The highest that a commit since the parent asks for.
allowed() {
    git log --format='%(trailers:key=Costs,valueonly)' "$base..HEAD" |
        sed -nE 's/^ *\+([0-9]+(\.[0-9]+)?) *%.*/\1/p' | sort -g | tail -n 1
}

git rev-parse -q --verify HEAD >/dev/null 2>&1 ||
    end 'skip: this is no clone' '0 passed, 0 failed, 1 skipped'
if ! base=$(parent); then
    [ -z "${COST_BASE:-}" ] || { echo "COST_BASE=$COST_BASE is no commit here" && exit 1; }
    end 'skip: no parent commit here (a shallow clone)' '0 passed, 0 failed, 1 skipped'
fi
echo "beside $(git log -1 --format='%h %s' "$base")"
! git diff --quiet "$base" -- "${compiled[@]}" ||
    end 'nothing that is compiled differs' '1 passed, 0 failed'
check_out || exit
if ! build >"$tree/log" 2>&1; then
    tail -n 20 "$tree/log"
    end 'skip: the parent does not build' '0 passed, 0 failed, 1 skipped'
fi
asked=$(allowed)
[ -z "$asked" ] || limit=$(printf '%s\n' "$limit" "$asked" | sort -g | tail -n 1)
bench/instructions --binary "$binary" --base "$tree/build/highgopress" --limit "$limit"
