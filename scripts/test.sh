#!/bin/bash
# test.sh - everything: three builds, units, simulation, fuzzing, end to end, gates.
#
# One line per part with its counts and time; the output of a part is kept in
# build/logs and shown when it is red. The last line is 'N passed, N failed'.
# More than CI does:  ROUNDS=30 FUZZ_SECONDS=600 FUZZ_SEED=0 scripts/test.sh
set -u
cd "$(dirname "$0")/.." || exit

ROUNDS=${ROUNDS:-3}
FUZZ_SECONDS=${FUZZ_SECONDS:-5}
passed=0
failed=0
skipped=0
began=$SECONDS

add() { # a line 'N passed, N failed[, N skipped]'
    local p f s
    read -r p _ f _ s _ <<<"${1//,/}"
    passed=$((passed + ${p:-0}))
    failed=$((failed + ${f:-0}))
    skipped=$((skipped + ${s:-0}))
}

# A part is one test when nothing in it counts. A command that fails although
# everything it counted was green is a failure too.
part() { # NAME WHERE-THE-COUNT-IS COMMAND...
    local name=$1 source=$2 log=build/logs/$1.log start=$SECONDS status=0 line
    shift 2
    mkdir -p build/logs
    "$@" </dev/null >"$log" 2>&1 || status=$?
    case $source in
    -) [ $status -eq 0 ] && line='1 passed, 0 failed' || line='0 passed, 1 failed' ;;
    log) line=$(tools/count_tests "$log") ;;
    *) line=$(tools/count_tests "$source") ;;
    esac
    case $line in
    '0 passed, 0 failed, 1 skipped') ;;                # its only check says why
    '0 passed, 0 failed'*) line='0 passed, 1 failed' ;; # it ran nothing
    *' 0 failed'*) [ $status -eq 0 ] || line=${line/ 0 failed/ 1 failed} ;;
    esac
    add "$line"
    case $line in
    *' 0 failed'*) printf 'ok   %-12s %s (%d s)\n' "$name" "$line" $((SECONDS - start)) ;;
    *)
        printf 'FAIL %-12s %s (%d s); the end of %s:\n' "$name" "$line" $((SECONDS - start)) "$log"
        grep -E '^(FAIL|not ok|\[  FAILED)|ERROR: |SUMMARY: |^Base64: ' "$log" | head -n 40
        tail -n 60 "$log" | sed 's/^/    /'
        ;;
    esac
}

build() { # DIR [meson options]: gives up on the parts that need it
    local dir=$1
    # A folder set up before cmocka was there has no tests: look again.
    if [ -f "$dir/build.ninja" ] && ! grep -q '"name"' "$dir/meson-info/intro-tests.json"; then
        meson setup --reconfigure "$dir" || return
    fi
    scripts/build.sh "$@"
}

meson_tests() { # PART DIR [meson test options]
    local name=$1 dir=$2
    shift 2
    rm -f "$dir/meson-logs/testlog.json"
    part "$name" "$dir/meson-logs/testlog.json" \
        "${unrandom[@]}" meson test -C "$dir" --no-rebuild --print-errorlogs "$@"
}

# Parts that run beside those that follow, which mostly wait, and at the lowest priority: what is
# tested is served first. 'joined' waits for them, then come their lines and counts. Each is a
# process group (set -m), so that all of it ends with this script.
declare -A besides
end_besides() {
    local leader
    for leader in $(jobs -pr); do
        kill -- "-$leader" 2>/dev/null
    done
}
trap end_besides EXIT
beside() { # NAME COMMAND...
    local passed=0 failed=0 skipped=0 name=$1
    shift
    rm -f "build/logs/beside-$name.count"
    set -m
    {
        renice -n 19 "$BASHPID" >/dev/null
        "$@"
        echo "$passed passed, $failed failed, $skipped skipped" >"build/logs/beside-$name.count"
    } >"build/logs/beside-$name.out" &
    besides[$name]=$!
    set +m
}

joined() { # NAME
    wait "${besides[$1]}"
    cat "build/logs/beside-$1.out"
    add "$(cat "build/logs/beside-$1.count" || echo '0 passed, 1 failed')"
}

fuzz_one() { # DIR PROGRAM: for a few seconds; a finding stays in DIR/fuzz-TARGET
    local target=${2##*/fuzz_}
    local log=build/logs/fuzz-$target.log

    if tests/fuzz/run.sh "$1" "$target" "$FUZZ_SECONDS" >"$log" 2>&1; then
        echo "ok   fuzz/$target $(sed -n 's/^stat::number_of_executed_units: */runs: /p' "$log")"
    else
        printf 'FAIL fuzz/%s, from %s:\n%s\n' "$target" "$log" "$(tests/fuzz/explain.sh "$log")"
    fi
}

fuzz() { # DIR: every target, one on each processor
    local said bad status=0

    export FUZZ_SECONDS
    export -f fuzz_one
    said=$(find "$1/tests/fuzz" -maxdepth 1 -name 'fuzz_*' -type f -perm -u+x | sort |
        xargs -P "$(nproc)" -I{} bash -c 'fuzz_one "$@"' _ "$1" {}) || status=1
    bad=$(grep -c '^FAIL fuzz/' <<<"$said")
    printf '%s\n%d passed, %d failed\n' "$said" "$(grep -c '^ok   fuzz/' <<<"$said")" "$bad"
    [ "$status" -eq 0 ] && [ "$bad" -eq 0 ]
}

# The thread sanitizer's shadow memory and 32 random bits of address don't go together.
unrandom=(setarch "$(uname -m)" -R)
"${unrandom[@]}" true 2>/dev/null || unrandom=()

export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1:suppressions=$PWD/tests/tsan.supp
export MALLOC_PERTURB_=85

# Stores in memory where there is room: what is tested is processes that die, not this machine's
# disk, whose fsync takes seconds on a busy day. TMPDIR=/var/tmp scripts/test.sh uses the disk.
room=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1)
[ "${room:-0}" -lt $((8 * 1024 * 1024)) ] || export TMPDIR="${TMPDIR:-/dev/shm}"

scripts/setup.sh test || exit
release=build
sanitized=(-Dbuildtype=debugoptimized -Db_lundef=false)

# Once for each clone: Go programs are built for minutes. Tests that don't get them say why.
fetches() {
    scripts/fetch_go_tools.sh
    PYTHONPATH=tools python3 -c 'import dev_servers as s; s.kafka_jars(); s.consul_program()'
} >build/logs/fetches.log 2>&1 </dev/null

sanitized_builds() {
    CC=clang part build-asan - build build-asan "${sanitized[@]}" \
        -Db_sanitize=address,undefined -Dfuzz=true
    CC=gcc part build-tsan - build build-tsan "${sanitized[@]}" -Db_sanitize=thread
}

mkdir -p build/logs
set -m
fetches & # beside the build and the unit tests
set +m
CC=gcc part build - build $release
part benches - ninja -C $release benches # which nothing else would miss
beside builds sanitized_builds
beside lint part lint log scripts/lint.sh $release
# A limit is there for what hangs: several times what a loaded machine of two cores takes.
meson_tests unit $release --no-suite fuzz --timeout-multiplier 4
part gates log tests/gates/run.py
part e2e log tests/e2e/run.py --binary $release/highgopress --jobs 3 --rounds "$ROUNDS"
part cost log scripts/check_cost.sh $release/highgopress
joined builds
meson_tests asan build-asan --no-suite e2e --no-suite files --no-suite rules --timeout-multiplier 10
part fuzz log fuzz build-asan
part e2e-asan log tests/e2e/run.py --binary build-asan/highgopress --jobs 3 --smoke
meson_tests tsan build-tsan --suite unit --no-suite one-thread --timeout-multiplier 10
joined lint

echo "took $((SECONDS - began)) s; logs are in build/logs"
echo "$passed passed, $failed failed$([ $skipped -eq 0 ] || echo ", $skipped skipped")"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
