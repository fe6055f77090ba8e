#!/bin/sh
# explain.sh - what a fuzz target's failure was, short enough for a log that is all one sees.
#
#     tests/fuzz/explain.sh LOG
#
# Prints what the target said, the error, our own part of the stack and the input. To have
# the input back:  echo BASE64 | base64 -d >input && BUILD_FOLDER/tests/fuzz/fuzz_TARGET input
set -eu
log=$1

# What the target itself said stands before the first "==PID==" of the sanitizers.
grep -aq '^==[0-9]*==' "$log" && sed '/^==[0-9]*==/,$d' "$log" |
    grep -avE '^(#[0-9]+[[:space:]]|INFO: |Running: |[[:space:]]*NEW_FUNC)' |
    tail -n 20 | cut -c 1-1000
grep -aE '^==[0-9]+==|runtime error: |^SUMMARY: ' "$log" | cut -c 1-300 | head -n 8 || true
grep -aE '^ +#[0-9]+ .*\.[ch]:[0-9]+' "$log" | head -n 10 || true
# libFuzzer's own "Base64:" line is only there for inputs of up to 256 bytes.
sed -n 's/^.*Test unit written to //p' "$log" | while read -r input; do
    echo "input: $input"
    echo "Base64: $(base64 -w 0 "$input")"
done
