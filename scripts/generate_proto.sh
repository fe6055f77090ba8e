#!/bin/sh
# generate_proto.sh - code from api/proto for clients, into a folder.
#
#     scripts/generate_proto.sh [DEST [LANGUAGE ...]]     (build/generated, all)
#
# c       DEST/c       protobuf-c's messages, strings as char pointers
# python  DEST/python  message classes: counter/counter_pb2.py, counter/internal/lanes_pb2.py,
#                      analytics/analytics_pb2.py, events/events_pb2.py,
#                      and the gRPC project's own grpc_health and grpc_reflection as messages
# set     DEST/api.bin the descriptor set, for tools that take one (buf curl, grpcurl, ghz)
#
# The product's own build doesn't use this: it makes what it needs by itself. GRPC_PROTOS is
# where the gRPC project's files are, as Debian's grpc-proto has them.
set -eu
cd "$(dirname "$0")/.."

dest=${1:-build/generated}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- c python set
grpc=${GRPC_PROTOS:-/usr/share/grpc-proto}
health=grpc/health/v1/health.proto
reflection='grpc/reflection/v1/reflection.proto grpc/reflection/v1alpha/reflection.proto'

command -v protoc >/dev/null 2>&1 || {
    echo 'generate_proto: protoc is not installed (Debian: protobuf-compiler)' >&2
    exit 69
}
ours=$(cd api/proto && find . -name '*.proto' | sed 's,^\./,,' | sort)
[ -n "$ours" ] || exit 1

for language in "$@"; do
    case $language in
    c)
        mkdir -p "$dest/c"
        # shellcheck disable=SC2086 # a list of words
        protoc -Iapi/proto --c_out="$dest/c" $ours
        ;;
    python)
        # Under a package of their own: 'grpc' is grpcio's, and must stay that.
        mkdir -p "$dest/python" "$dest/protos/grpc_services"
        cp "$grpc/$health" "$dest/protos/grpc_services/health.proto"
        for file in $reflection; do
            version=$(basename "$(dirname "$file")")
            cp "$grpc/$file" "$dest/protos/grpc_services/reflection_$version.proto"
        done
        # shellcheck disable=SC2086
        protoc -Iapi/proto --python_out="$dest/python" $ours
        protoc -I"$dest/protos" --python_out="$dest/python" "$dest"/protos/grpc_services/*.proto
        ;;
    set)
        mkdir -p "$dest"
        # shellcheck disable=SC2086
        protoc -Iapi/proto -I"$grpc" --include_imports --descriptor_set_out="$dest/api.bin" \
            $ours $health $reflection
        ;;
    *)
        echo "generate_proto: unknown language '$language': c, python or set" >&2
        exit 64
        ;;
    esac
done
echo "$dest"
