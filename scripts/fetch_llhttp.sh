#!/bin/sh
# fetch_llhttp.sh DEST - puts llhttp's C source into the folder DEST.
#
# Debian 12 ships it only inside the package node-llhttp, and installing that
# would pull in Node: so the package is downloaded and unpacked, no more. Does
# nothing when DEST already has it.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 DEST" >&2
    exit 2
fi
dest=$1
if [ -f "$dest/llhttp.h" ]; then
    exit 0
fi

mkdir -p "$(dirname "$dest")"
temp=$(mktemp -d "$dest.XXXXXX")
trap 'rm -rf "$temp"' EXIT
if ! "$(dirname "$0")"/fetch_deb.sh node-llhttp "$temp/package"; then
    echo "$0: or install libllhttp-dev where the distribution has it" >&2
    exit 1
fi
mkdir "$temp/out"
cp "$temp"/package/usr/share/llhttp/*.c "$temp/out/"
cp "$temp"/package/usr/share/doc/node-llhttp/copyright "$temp/out/"
# The header goes last: its presence says that the rest is complete.
cp "$temp/package/usr/share/include/llhttp/llhttp.h" "$temp/out/"
mkdir -p "$dest"
for name in llhttp.c api.c http.c copyright llhttp.h; do
    mv "$temp/out/$name" "$dest/$name"
done
