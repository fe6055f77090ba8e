#!/bin/bash
# performance_test.sh - how fast is this service, and is its count exact? Against a running one:
#
#     scripts/performance_test.sh [http://127.0.0.1:8080]
#
# SECONDS_EACH (5) and LEVELS ("1 10 100 1000" connections) may be set. Ends with a counted
# load: the counter must hold exactly what was acknowledged.
set -u
cd "$(dirname "$0")/.."

base=${1:-http://127.0.0.1:8080}
base=${base%/}
seconds=${SECONDS_EACH:-5}
levels=${LEVELS:-1 10 100 1000}
run=perf-$$-$(date +%s)
export BENCH=$PWD/bench
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

command -v wrk >/dev/null || { echo 'wrk is not installed: scripts/setup.sh bench' && exit 69; }
curl -fsS --max-time 10 "$base/api/v1/health" >/dev/null || { echo "no service at $base" && exit 69; }

cat >"$work/write.lua" <<LUA
dofile(os.getenv("BENCH") .. "/report.lua")
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"resource_id":"$run","counter_type":"like"}'
LUA

measure() { # NAME SCRIPT PATH: one row per level
    local name=$1 script=$2 path=$3 connections threads
    for connections in $levels; do
        threads=$((connections > 1 ? 2 : 1))
        wrk -t$threads -c"$connections" -d"${seconds}s" --timeout 10s -s "$script" "$base$path" |
            sed -n 's/^REPORT //p' >"$work/report"
        python3 - "$name" "$connections" "$work/report" <<'PY' || bad=1
import json, sys
name, connections, file = sys.argv[1:]
r = json.load(open(file))
errors = r['status_errors'] + r['socket_errors'] + r['timeouts']
print(f"| {name} | {connections} | {r['requests'] / r['duration_us'] * 1e6:,.0f} "
      f"| {r['p50_us'] / 1000:.2f} | {r['p99_us'] / 1000:.2f} | {errors} |")
sys.exit(errors > 0)
PY
    done
}

echo '| call | connections | req/s | p50 ms | p99 ms | errors |'
echo '|---|---|---|---|---|---|'
measure health bench/get.lua /api/v1/health
measure read bench/get.lua "/api/v1/counter/$run/like"
measure write "$work/write.lua" /api/v1/counter/increment

# wrk leaves with requests under way, so its counter can't be checked exactly. This load can.
count=20000
curl -sS --no-progress-meter --parallel --parallel-max 200 --max-time 300 -o /dev/null -w '%{http_code}\n' \
    -d "{\"resource_id\":\"$run-exact\",\"counter_type\":\"like\"}" \
    "$base/api/v1/counter/increment?n=[1-$count]" >"$work/statuses"
acknowledged=$(grep -c '^200$' "$work/statuses")
value=$(curl -fsS "$base/api/v1/counter/$run-exact/like" |
    sed -n 's/.*"current_value":\(-\{0,1\}[0-9]*\).*/\1/p')
echo
echo "consistency: $count sent, $acknowledged acknowledged, the counter holds $value"
[ "$acknowledged" = $count ] && [ "$value" = $count ] || bad=1
[ $bad -eq 0 ] && echo 'all exact, no errors' || echo 'FAILED: errors, or a counter that is not exact'
exit $bad
