#!/bin/sh
# setup.sh - install what building (run) or testing (test) needs, on Debian 12.
#
#     scripts/setup.sh [run|test|bench|servers|deb|browser] ...
#
# Only what is missing is installed; when nothing is, nothing is done and no
# network is needed. Idempotent. Needs root or sudo only when it installs.
set -eu

run_packages='gcc libc6-dev make meson ninja-build pkg-config
    libhiredis-dev librdkafka-dev liburing-dev libnghttp2-dev librocksdb-dev libyaml-dev libxxhash-dev zlib1g-dev
    libssl-dev libcurl4-openssl-dev libprotobuf-c-dev protobuf-c-compiler protobuf-compiler grpc-proto curl'
# Go and the certificates are for scripts/fetch_*.sh and Consul, LLVM for the names in
# the sanitizers' stack traces.
test_packages='libcmocka-dev libjansson-dev clang clang-format clang-tidy libclang-rt-14-dev
    llvm binutils redis-server python3 python3-grpcio python3-h2 python3-jsonschema python3-prometheus-client python3-protobuf python3-venv python3-yaml nghttp2-client procps
    util-linux golang-go ca-certificates openssl shellcheck default-jre-headless maven kcat strace systemd mandoc valgrind zsh fish'
bench_packages='wrk nginx-light nghttp2-client python3 redis-server golang-go libb64-0d libevent-2.1-7'
deb_packages='debhelper dpkg-dev lintian'
# Only for tests/e2e/test_live_browser.py, which is skipped without them; npm is large.
browser_packages='chromium nodejs npm'
server_packages='redis-server default-jre-headless maven kcat golang-go ca-certificates python3'

say() {
    printf 'setup: %s\n' "$*" >&2
}

wanted=''
[ $# -gt 0 ] || set -- run
for profile in "$@"; do
    case $profile in
    run) wanted="$wanted $run_packages" ;;
    test) wanted="$wanted $run_packages $test_packages $deb_packages" ;;
    bench) wanted="$wanted $run_packages $bench_packages" ;;
    servers) wanted="$wanted $server_packages" ;;
    deb) wanted="$wanted $run_packages $deb_packages" ;;
    browser) wanted="$wanted $browser_packages" ;;
    *)
        say "unknown profile '$profile': run, test, bench, servers, deb or browser"
        exit 64
        ;;
    esac
done

if ! command -v dpkg-query >/dev/null 2>&1; then
    say 'this is not Debian (no dpkg-query): install by hand what these packages hold, and go on:'
    say "$wanted"
    exit 0
fi

# Another package may give the same thing (nginx-full for nginx-light, say), or none at all.
elsewhere() {
    case $1 in
    nginx-light) command -v nginx ;;
    golang-go) command -v go ;;
    *) false ;;
    esac >/dev/null 2>&1
}
installed() {
    dpkg-query -W -f='${Status} ${Package} ${Provides}\n' 2>/dev/null
}
have=$(installed | sed -n 's/^install ok installed //p' | sed 's/ *([^)]*)//g; s/,//g' |
    tr ' ' '\n' | sort -u)
missing=''
for package in $wanted; do
    printf '%s\n' "$have" | grep -qx "$package" || elsewhere "$package" ||
        missing="$missing $package"
done
# shellcheck disable=SC2086 # a list of words
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
[ -n "${missing% }" ] || exit 0

sudo=''
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        say "these packages are missing, and installing them needs root or sudo: $missing"
        say "run as root: apt-get update && apt-get install $missing"
        exit 77
    fi
    sudo='sudo'
fi

say "installing: $missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    # A machine that has just booted may be installing its own updates: wait for the lock.
    if ! $sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
        -o Acquire::Retries=3 "$@" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        say "apt-get $1 failed; the last lines are above"
        exit 69
    fi
}
apt update
# shellcheck disable=SC2086 # a list of words
apt install -y --no-install-recommends $missing
say 'done'
