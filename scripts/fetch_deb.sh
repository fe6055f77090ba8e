#!/bin/sh
# fetch_deb.sh PACKAGE DEST - unpacks a Debian package below the folder DEST, without installing it:
# none of its dependencies come along, none of its services start.
#
# Needs no root, except to fetch apt's lists where there are none. Does nothing when DEST is already
# there. apt checks the signature.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: $0 PACKAGE DEST" >&2
    exit 2
fi
package=$1
dest=$2
if [ -d "$dest" ]; then
    exit 0
fi

mkdir -p "$(dirname "$dest")"
temp=$(mktemp -d "$dest.XXXXXX")
trap 'rm -rf "$temp"' EXIT
chmod 755 "$temp" # apt's download user has to get in

download() {
    (cd "$temp" && apt-get -qq -o Acquire::Retries=3 download "$package")
}
update() { # container images come without apt's lists, and old lists name packages that went
    if [ "$(id -u)" -eq 0 ]; then
        apt-get -qq update
    else
        command -v sudo >/dev/null && sudo -n apt-get -qq update
    fi
}
if ! download 2>/dev/null && ! { update && download; }; then
    echo "$0: apt-get can't download $package; run 'sudo apt-get update' and try again" >&2
    exit 1
fi
dpkg-deb -x "$temp/$package"_*.deb "$temp/out"
# Moved when it is whole: its presence says so. Another one may have been quicker.
mv -T "$temp/out" "$dest" 2>/dev/null || [ -d "$dest" ]
