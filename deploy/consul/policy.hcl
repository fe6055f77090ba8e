# What the token of a HighGoPress process (consul.token_file) has to allow, and no more:
#     consul acl policy create -name high-go-press -rules @deploy/consul/policy.hcl
#     consul acl token create -policy-name high-go-press

# Its own registration, and finding the others.
service_prefix "high-go-press-" {
  policy = "write"
}

node_prefix "" {
  policy = "read"
}

# Its configuration. Who runs 'highgopress config' needs "write" here, and under high-go-press/history/.
key_prefix "high-go-press/config/" {
  policy = "read"
}
