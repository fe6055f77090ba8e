#!/bin/sh
# run_json_suite.sh - fetch JSONTestSuite if it isn't there, then test against it.
#
#     run_json_suite.sh TEST_BINARY SOURCE_ROOT
set -eu
folder=$2/.cache/json-test-suite
"$2/scripts/fetch_json_test_suite.sh" "$folder"
exec "$1" "$folder"
