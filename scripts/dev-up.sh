#!/bin/sh
# dev-up.sh - real servers on loopback for development and tests, without containers.
#
#     scripts/dev-up.sh [redis] [sentinel] [cluster] [kafka] [kafka3] [consul] [prometheus]
#
# Redis and Kafka if none is named.
# Prints a line NAME=URL for each; .dev/env has them too. What runs already is left alone.
# Installs what is missing. scripts/dev-down.sh ends what this has started.
set -eu
cd "$(dirname "$0")/.."
scripts/setup.sh servers
exec tools/dev_servers.py up "$@"
