# A Consul server of a production cluster: three of them, each with its own node_name and address.
#     consul validate deploy/consul/server.hcl && consul agent -config-file deploy/consul/server.hcl
datacenter       = "dc1"
data_dir         = "/var/lib/consul"
server           = true
bootstrap_expect = 3
retry_join       = ["consul-1", "consul-2", "consul-3"]
bind_addr        = "{{ GetPrivateIP }}"
client_addr      = "127.0.0.1"

# Plain HTTP stays on loopback; others talk TLS, both ways.
ports {
  http  = 8500
  https = 8501
}

addresses {
  https = "0.0.0.0"
}

tls {
  defaults {
    ca_file         = "/etc/consul.d/ca.pem"
    cert_file       = "/etc/consul.d/server.pem"
    key_file        = "/etc/consul.d/server.key"
    verify_incoming = true
    verify_outgoing = true
  }
  internal_rpc {
    verify_server_hostname = true
  }
}

acl {
  enabled                  = true
  default_policy           = "deny"
  enable_token_persistence = true
}

# A discovery answer is good for no longer than the next change.
dns_config {
  service_ttl {
    "high-go-press-counter" = "0s"
  }
}

disable_update_check = true
