#!/bin/sh
# build_deb.sh DEST - builds the Debian package from the last commit, and puts it into the folder DEST.
#
# Needs the packages of 'scripts/setup.sh deb'. DEBFULLNAME and
# DEBEMAIL say whose it is.
set -eu
cd "$(dirname "$0")/.."

if [ $# -ne 1 ]; then
    echo "usage: $0 DEST" >&2
    exit 2
fi
mkdir -p "$1"
dest=$(cd "$1" && pwd)
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT

version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" meson.build)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
source=$temp/highgopress-$version
mkdir "$source"
git archive HEAD | tar -x -C "$source"
mv "$source/deploy/debian" "$source/debian"
# Building a package may not reach for the network.
scripts/fetch_llhttp.sh .cache/llhttp
mkdir "$source/.cache"
cp -R .cache/llhttp "$source/.cache/llhttp"
for role in '' -analytics -counter -gateway; do
    cp "deploy/systemd/highgopress$role.service" "$source/debian/highgopress.highgopress$role.service"
    cp "deploy/systemd/highgopress$role.socket" "$source/debian/highgopress.highgopress$role.socket"
    mv "$source/debian/highgopress$role.default" "$source/debian/highgopress.highgopress$role.default"
done
cp deploy/systemd/highgopress-gateway@.service "$source/debian/highgopress.highgopress-gateway@.service"
maintainer="${DEBFULLNAME:-HighGoPress} <${DEBEMAIL:-highgopress@localhost}>"
sed -i "s/^Maintainer: .*/Maintainer: $maintainer/" "$source/debian/control"
cat >"$source/debian/changelog" <<END
highgopress ($version) unstable; urgency=medium

  * Built from commit $(git rev-parse --short=12 HEAD); CHANGELOG.md says what changed.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END

if ! (cd "$source" && dpkg-buildpackage -b -us -uc) >"$temp/log" 2>&1; then
    tail -n 40 "$temp/log" >&2
    exit 1
fi
mv "$temp"/highgopress_*.deb "$dest"
ls "$dest"/highgopress_*.deb
