//go:build tools

// Package tools names the program that tools/dev_servers.py builds: Debian's Prometheus can't ask
// Consul, upstream's can. 2.45 is the last with long-term support that Debian 12's Go builds.
package tools

import (
	_ "github.com/prometheus/prometheus/cmd/prometheus"
)
