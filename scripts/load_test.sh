#!/bin/bash
# load_test.sh - does every increment count, exactly, under load? Against running gateways:
#
#     scripts/load_test.sh [http://127.0.0.1:8080 ...]
#
# LEVELS ("1000@10 5000@50 10000@100 50000@500 100000@1000": requests@connections) may be set.
# Several gateways of one store share each level. Exit 0: no error, every counter exact.
set -u
cd "$(dirname "$0")/.." || exit
# shellcheck source=scripts/load_lib.sh
. scripts/load_lib.sh

load_begin "$@"
bad=0
echo '| requests | connections | req/s | p50 ms | p99 ms | errors |'
echo '|---|---|---|---|---|---|'
for level in $LEVELS; do
    load_write "increments $level" "${level%@*}" "${level#*@}"
    [ "$errors" -eq 0 ] || bad=1
    echo "| $(thousands "${level%@*}") | ${level#*@} | $(thousands "$qps") | $(ms "$p50_us")" \
        "| $(ms "$p99_us") | $errors |"
done
echo
load_exact || bad=1
[ $bad -eq 0 ] && echo 'all exact, no errors' || echo 'FAILED: errors, or a counter that is not exact'
exit $bad
