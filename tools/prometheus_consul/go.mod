module highgopress/tools/prometheus_consul

go 1.18

require github.com/prometheus/prometheus v0.45.6

// As Prometheus' own go.mod has it.
replace (
	k8s.io/klog => github.com/simonpasquier/klog-gokit v0.3.0
	k8s.io/klog/v2 => github.com/simonpasquier/klog-gokit/v3 v3.0.0
)
