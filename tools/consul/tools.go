//go:build tools

// Package tools names the program that tools/dev_servers.py builds: Consul can't be installed by
// itself (its go.mod has replace directives), but as a dependency it can be built. 1.13.3 is under
// the MPL-2.0 and the last that Debian 12's Go builds.
package tools

import (
	_ "github.com/hashicorp/consul"
	_ "golang.org/x/net/context"
)
