#!/bin/sh
# run.sh - fuzz one target for a while, from its corpus.
#
#     tests/fuzz/run.sh BUILD_FOLDER TARGET SECONDS
#
# Inputs it finds stay in BUILD_FOLDER/fuzz-TARGET; a crash is left there too. FUZZ_SEED is 1, for
# runs that can be compared; 0 takes a new one each time.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$1 target=$2 seconds=$3
found=$build/fuzz-$target
dict=$here/corpus/$target.dict

mkdir -p "$found"
# What ASan keeps of freed memory, 256 MiB, counts against the limit.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=32"
# Weighing inputs by rare features takes longer than running them.
set -- -seed="${FUZZ_SEED:-1}" -entropic=0 -max_total_time="$seconds" -timeout=5 -rss_limit_mb=512 -print_final_stats=1 \
    -artifact_prefix="$found/"
[ -f "$dict" ] && set -- "$@" -dict="$dict"
exec "$build/tests/fuzz/fuzz_$target" "$@" "$found" "$here/corpus/$target"
