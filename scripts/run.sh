#!/bin/bash
# run.sh - install what is missing, build, and become the service.
#
# On a terminal the server gets the foreground to itself, so that Ctrl-C goes
# to it alone and its exit code is make's too (make dies of a Ctrl-C that it
# sees, whatever its child says). It ends when this script is killed.
set -eu
cd "$(dirname "$0")/.."

./scripts/setup.sh run
./scripts/build.sh build
server=(build/highgopress all --data ./highgopress-data "$@")

[ -t 0 ] || exec "${server[@]}"
set -m
setpriv --pdeathsig TERM "${server[@]}" &
fg >/dev/null
