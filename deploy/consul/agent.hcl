# The agent beside HighGoPress, on the same machine: it checks the service through loopback, and
# answers from memory while the servers elect.
#     highgopress gateway --discovery consul://127.0.0.1:8500
datacenter  = "dc1"
data_dir    = "/var/lib/consul"
server      = false
retry_join  = ["consul-1", "consul-2", "consul-3"]
bind_addr   = "{{ GetPrivateIP }}"
client_addr = "127.0.0.1"

tls {
  defaults {
    ca_file         = "/etc/consul.d/ca.pem"
    cert_file       = "/etc/consul.d/agent.pem"
    key_file        = "/etc/consul.d/agent.key"
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

disable_update_check = true
