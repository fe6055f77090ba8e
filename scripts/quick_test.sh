#!/bin/bash
# quick_test.sh - is this service counting right? Against a running one:
#
#     scripts/quick_test.sh [http://127.0.0.1:8080]
#
# Walks through the API, then 5,000 concurrent increments of one fresh counter
# whose answers must be 1 ... 5,000, each once. bash and curl only.
set -u

base=${1:-http://127.0.0.1:8080}
base=${base%/}
count=5000
parallel=100
run=quick-$$-$RANDOM-$(date +%s)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

verdict() { # STATUS NAME [WHAT WAS SEEN]
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok   $2"
    else
        failed=$((failed + 1))
        echo "FAIL $2: ${3:-}"
    fi
}

ask() { # PATH [curl options]: the answer and, on a line of its own, the status
    local path=$1
    shift
    curl -sS --max-time 10 -w '\n%{http_code}\n' "$@" "$base$path" 2>&1
}

expect() { # NAME STATUS PATTERN PATH [curl options]
    local name=$1 status=$2 pattern=$3 got
    shift 3
    got=$(ask "$@")
    [ "$(tail -n 1 <<<"$got")" = "$status" ] && grep -Eq "$pattern" <<<"$got"
    verdict $? "$name" "$(tr '\n' ' ' <<<"$got" | cut -c 1-300)"
}

values() { # the current values in a file, one a line
    grep -o '"current_value":-\{0,1\}[0-9]*' "$1" | cut -d : -f 2
}

finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
    exit
}

echo "testing $base"
if ! ask /api/v1/health >"$work/health" || ! grep -q '"status":"healthy"' "$work/health"; then
    verdict 1 'the service answers' "$(head -c 300 "$work/health")"
    finish
fi
verdict 0 'the service answers'

api=/api/v1/counter
body="{\"resource_id\":\"$run\",\"counter_type\":\"like\""
expect 'a new counter is 0' 200 '"current_value":0,' "$api/$run/like"
expect 'an increment' 200 '"current_value":1,"success":true' "$api/increment" -d "$body,\"delta\":1}"
expect 'no delta means 1' 200 '"current_value":2,' "$api/increment" -d "$body}"
expect 'a negative delta' 200 '"current_value":-8,' "$api/increment" -d "$body,\"delta\":-10}"
expect 'reading it' 200 '"current_value":-8,"updated_at":[0-9]+' "$api/$run/like"
expect 'reading a batch' 200 '"results":\[.*"current_value":-8,.*"total":2' "$api/batch" \
    -d "{\"items\":[$body},{\"resource_id\":\"$run-none\",\"counter_type\":\"like\"}]}"
expect 'incrementing a batch' 200 '"current_value":-7,.*"current_value":-6,' \
    "$api/batch/increment" -d "{\"items\":[$body},$body}]}"
for n in 1 2; do
    expect "an idempotency key, time $n" 200 '"current_value":-1,' "$api/increment" \
        -H "Idempotency-Key: $run" -d "$body,\"delta\":5}"
done
expect 'the key with another payload' 422 . "$api/increment" -H "Idempotency-Key: $run" \
    -d "$body,\"delta\":6}"
expect 'a fraction is refused' 400 'Invalid request format' "$api/increment" \
    -d "$body,\"delta\":1.5}"
expect '2^63 is refused' 400 'Invalid request format' "$api/increment" \
    -d "$body,\"delta\":9223372036854775808}"
expect 'no JSON is refused' 400 'Invalid request format' "$api/increment" -d 'hello'
expect 'an empty id is refused' 400 'resource_id and counter_type are required' "$api//like"
expect 'an unknown path' 404 . /api/v1/nothing
expect 'a wrong method' 405 . "$api/increment" -X DELETE
expect 'nothing refused has counted' 200 '"current_value":-1,' "$api/$run/like"
expect 'the readiness probe' 200 . /readyz

echo "$count increments, $parallel at a time"
start=$(date +%s.%N)
curl -sS --no-progress-meter --parallel --parallel-max $parallel --max-time 120 \
    -d "{\"resource_id\":\"$run-many\",\"counter_type\":\"like\"}" \
    -w '<%{http_code}>\n' "$base$api/increment?n=[1-$count]" >"$work/answers" 2>"$work/errors"
verdict $? "curl sent $count requests" "$(head -c 300 "$work/errors")"
took=$(echo "$start $(date +%s.%N)" | awk '{printf "%.1f", $2 - $1}')
statuses=$(grep -o '<[0-9]*>' "$work/answers" | sort | uniq -c | tr -s ' \n' ' ')
[ "$statuses" = " $count <200> " ]
verdict $? "$count answers are 200 (in $took s)" "$statuses"
values "$work/answers" | sort -n | cmp -s - <(seq $count)
verdict $? "the answers are 1 ... $count, each once" \
    "$(values "$work/answers" | sort -nu | wc -l) distinct values"
expect "the final value is $count" 200 "\"current_value\":$count," "$api/$run-many/like"
finish
