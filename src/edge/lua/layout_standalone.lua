-- layout_standalone.lua - part of apply.lua: one clock for the whole store, all lanes of a message in
-- one call.

local CLUSTER = false
local CLOCK = 'hgp:meta'
local STORE = nil -- looked at once for each connection
