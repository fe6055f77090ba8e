#!/bin/sh
# dev-down.sh - end the servers that dev-up.sh has started, and only those.
set -eu
cd "$(dirname "$0")/.."
exec tools/dev_servers.py down
