#!/bin/sh
# build.sh DEST - generates grpc-gateway's code and builds the peer as DEST/transcode.
#
# Everything is made below DEST. Needs Go, its module proxy the first time, and protoc.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
proto=$here/../../../api/proto/counter/counter.proto
mkdir -p "$1/bin" "$1/counter"
cp "$here"/*.go "$here"/go.mod "$here"/go.sum "$1/"
cd "$1"
export GOBIN="$1/bin" GOTOOLCHAIN=local CGO_ENABLED=0
go install -p 2 github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway \
    google.golang.org/grpc/cmd/protoc-gen-go-grpc google.golang.org/protobuf/cmd/protoc-gen-go
PATH=$GOBIN:$PATH protoc -I "$(dirname "$proto")" \
    --go_out=counter --go_opt=paths=source_relative \
    --go-grpc_out=counter --go-grpc_opt=paths=source_relative \
    --grpc-gateway_out=counter \
    --grpc-gateway_opt=paths=source_relative,grpc_api_configuration="$here/routes.yaml" \
    "$proto"
go build -p 2 -o transcode .
