#!/bin/sh
# fetch_llhttp.sh DEST - puts llhttp's C source into the folder DEST.
#
# Debian 12 ships it only inside the package node-llhttp, and installing that
# would pull in Node: so the package is downloaded and unpacked, no more. Needs
# no root, except to fetch apt's lists where there are none. Does nothing when
# DEST already has it. apt checks the signature.
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
chmod 755 "$temp" # apt's download user has to get in

download() {
    (cd "$temp" && apt-get -qq -o Acquire::Retries=3 download node-llhttp)
}
update() { # container images come without apt's lists, and old lists name packages that went
    if [ "$(id -u)" -eq 0 ]; then
        apt-get -qq update
    else
        command -v sudo >/dev/null && sudo -n apt-get -qq update
    fi
}
if ! download 2>/dev/null && ! { update && download; }; then
    echo "$0: apt-get can't download node-llhttp; run 'sudo apt-get update' and try again," >&2
    echo "$0: or install libllhttp-dev where the distribution has it" >&2
    exit 1
fi
dpkg-deb -x "$temp"/node-llhttp_*.deb "$temp/package"
mkdir "$temp/out"
cp "$temp"/package/usr/share/llhttp/*.c "$temp/out/"
cp "$temp"/package/usr/share/doc/node-llhttp/copyright "$temp/out/"
# The header goes last: its presence says that the rest is complete.
cp "$temp/package/usr/share/include/llhttp/llhttp.h" "$temp/out/"
mkdir -p "$dest"
for name in llhttp.c api.c http.c copyright llhttp.h; do
    mv "$temp/out/$name" "$dest/$name"
done
