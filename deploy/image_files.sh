#!/bin/sh
# image_files.sh BINARY DEST - lays out the image's files below DEST: the binary, the shared libraries
# that it needs beyond libc (which the base image has), and their copyright notices.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: $0 BINARY DEST" >&2
    exit 2
fi
binary=$1
dest=$2

mkdir -p "$dest/usr/bin"
cp "$binary" "$dest/usr/bin/highgopress"
libraries=$(ldd "$binary" | awk '$2 == "=>" { print $3 }')
[ -n "$libraries" ]
for library in $libraries; do
    case ${library##*/} in
    libc.so.* | libm.so.* | libpthread.so.* | libdl.so.* | librt.so.* | libresolv.so.*) continue ;;
    esac
    # A merged /usr has two names for each file; dpkg knows one of them.
    real=$(realpath "$library")
    package=$(dpkg-query -S "$real" "/lib${real#/usr/lib}" 2>/dev/null | head -n 1 | cut -d: -f1)
    [ -n "$package" ] || {
        echo "$0: $library belongs to no package" >&2
        exit 1
    }
    mkdir -p "$dest${library%/*}" "$dest/usr/share/doc/$package"
    cp -L "$library" "$dest$library"
    cp -L "/usr/share/doc/$package/copyright" "$dest/usr/share/doc/$package/copyright"
done
# Owned by the image's user, who may write nowhere else.
mkdir -p "$dest/data"
