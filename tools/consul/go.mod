module highgopress/tools/consul

go 1.18

require (
	github.com/hashicorp/consul v1.13.3
	// What Consul asks for is older than Go 1.23's linker bears.
	golang.org/x/net v0.17.0
)
