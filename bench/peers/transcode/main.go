// What a team would put in front of a gRPC service: grpc-gateway, which turns JSON into unary calls.
// Its code is generated from our api/proto and from routes.yaml; here is what is left to write. The
// peer that bench/run --servers split,transcode compares our gateway with, on the same counter.
package main

import (
	"context"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"

	"highgopress/bench/peers/transcode/counter"
)

func main() {
	mux := runtime.NewServeMux(runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.JSONPb{
		MarshalOptions: protojson.MarshalOptions{UseProtoNames: true}}))
	plain := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if err := counter.RegisterCounterServiceHandlerFromEndpoint(
		context.Background(), mux, os.Args[2], plain); err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(listener, mux))
}
