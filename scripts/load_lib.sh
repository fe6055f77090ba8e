# shellcheck shell=bash
# load_lib.sh - counted load on running gateways, for load_test.sh and performance_test.sh.
#
# h2load sends exactly as many requests as it is told and logs each one's status and time, so
# that what was acknowledged is known to the request. Several gateways share one load.

LEVELS=${LEVELS:-1000@10 5000@50 10000@100 50000@500 100000@1000}
LEVEL_SECONDS=${LEVEL_SECONDS:-300} # a level that takes longer is cut off, and fails

bases=()
counted=() # "COUNTER SENT ACKNOWLEDGED" of each load of increments
run=load-$$-$(date +%s)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

give_up() { # CODE SENTENCE
    echo "$2" >&2
    exit "$1"
}

load_begin() { # [URL ...]
    local base level
    [ $# -gt 0 ] || set -- http://127.0.0.1:8080
    for level in $LEVELS; do
        [[ $level =~ ^[1-9][0-9]*@[1-9][0-9]*$ ]] && [ "${level%@*}" -ge $((${level#*@} * $#)) ] ||
            give_up 64 "LEVELS: '$level' is not REQUESTS@CONNECTIONS, at least a request for each"
    done
    command -v h2load >/dev/null || give_up 69 'h2load is not installed (Debian: nghttp2-client)'
    for base in "$@"; do
        base=${base%/}
        curl -fsS --max-time 10 -o /dev/null "$base/api/v1/health" ||
            give_up 69 "no service at $base"
        bases+=("$base")
    done
}

progress() { # NAME DONE OF: on a terminal only
    local width=30 full
    [ -t 2 ] || return 0
    full=$(($2 * width / $3))
    printf '\r%-24s [%-*s] %3d %%' "$1" $width "$(printf '%*s' $full '' | tr ' ' '#')" \
        $(($2 * 100 / $3)) >&2
}

progress_over() {
    [ ! -t 2 ] || printf '\r\033[K' >&2
}

log_lines() {
    cat "$work"/requests.* 2>/dev/null | wc -l
}

# Sets acknowledged, errors, qps (acknowledged a second), p50_us and p99_us (0 when there is none).
# shellcheck disable=SC2034 # they are for the caller
load() { # NAME REQUESTS CONNECTIONS PATH [BODY]
    local name=$1 requests=$2 connections=$3 path=$4 count=${#bases[@]} pids=() i n c options threads
    rm -f "$work"/requests.*
    printf '%s' "${5:-}" >"$work/body"
    threads=$(nproc)
    for ((i = 0; i < count; i++)); do # the first ones take what doesn't divide
        n=$((requests / count + (i < requests % count)))
        c=$((connections / count + (i < connections % count)))
        c=$((c ? c : 1))
        options=(--h1 -n "$n" -c "$c" -t $((threads < c ? threads : c)) -N 30s)
        [ $# -le 4 ] || options+=(-d "$work/body" -H 'Content-Type: application/json')
        timeout "$LEVEL_SECONDS" h2load "${options[@]}" --log-file="$work/requests.$i" \
            "${bases[$i]}$path" >"$work/said.$i" 2>&1 </dev/null &
        pids+=($!)
    done
    while [ -t 2 ] && kill -0 "${pids[@]}" 2>/dev/null; do
        progress "$name" "$(log_lines)" "$requests"
        sleep 0.1
    done
    wait "${pids[@]}"
    progress_over
    read -r acknowledged qps p50_us p99_us < <(sort -k 3,3n "$work"/requests.* | awk '
        function at(p) { i = int(p * n); if (i < p * n) i++; return n ? took[i] : 0 }
        $2 == 200 {
            took[++n] = $3
            if (n == 1 || $1 < first) first = $1
            if ($1 + $3 > last) last = $1 + $3
        }
        END {
            span = last - first
            printf("%d %.1f %d %d\n", n, (span > 0) ? n * 1e6 / span : 0, at(0.5), at(0.99))
        }')
    errors=$((requests - acknowledged))
    [ $errors -eq 0 ] || say_errors "$name"
}

say_errors() { # NAME: what came instead of a 200
    local status count
    cut -f 2 "$work"/requests.* | sort | uniq -c | while read -r count status; do
        case $status in
        200) ;;
        -1) echo "$1: $count requests failed without an answer" >&2 ;;
        *) echo "$1: $count answers were $status" >&2 ;;
        esac
    done
    count=$(log_lines)
    [ "$count" -ge $((acknowledged + errors)) ] ||
        echo "$1: $((acknowledged + errors - count)) requests have no result at all" >&2
}

load_write() { # NAME REQUESTS CONNECTIONS: increments of a counter of their own
    local counter=$run-${#counted[@]}
    load "$1" "$2" "$3" /api/v1/counter/increment \
        "{\"resource_id\":\"$counter\",\"counter_type\":\"like\"}"
    counted+=("$counter $2 $acknowledged")
}

value_of() { # COUNTER BASE
    curl -fsS --max-time 30 "$2/api/v1/counter/$1/like" |
        sed -n 's/.*"current_value":\(-\{0,1\}[0-9]*\).*/\1/p'
}

# Every counter, at every gateway, holds exactly what was acknowledged.
load_exact() {
    local entry counter sent acked base value sum=0 total=0 bad=0
    for entry in "${counted[@]}"; do
        read -r counter sent acked <<<"$entry"
        for base in "${bases[@]}"; do
            value=$(value_of "$counter" "$base")
            [ "$value" = "$acked" ] && [ "$acked" = "$sent" ] && continue
            bad=1
            echo "NOT EXACT at $base: $sent sent, $acked acknowledged, the counter holds ${value:-no value}" >&2
        done
        sum=$((sum + ${value:-0}))
        total=$((total + sent))
    done
    echo "consistency: $total increments sent, the counters hold $sum"
    [ "$total" -gt 0 ] && return $bad
}

thousands() { # 12345 -> 12,345
    local n=${1%.*}
    sed ':a; s/\([0-9]\)\([0-9]\{3\}\)\($\|,\)/\1,\2\3/; ta' <<<"$n"
}

ms() { # microseconds
    awk -v us="$1" 'BEGIN { printf "%.2f", us / 1000 }'
}
