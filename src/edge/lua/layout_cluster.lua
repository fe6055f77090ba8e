-- layout_cluster.lua - part of apply.lua: a call is one lane, which has its own clock.

local CLUSTER = true -- other calls may carry the message's other lanes
local CLOCK = KEYS[1]
local STORE = ARGV[#ARGV] -- a Cluster emptied and laid out anew under a running process has another id
